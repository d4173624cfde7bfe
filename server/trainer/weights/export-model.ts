import { copyFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { diskName, type Family } from './name-map.js';
import { writeNewFolder } from './new-folder.js';
import { indexFile } from './weight-files.js';
import { writeWeights, type TensorSource, type WriteOptions } from './write-weights.js';

export interface ExportedModel {
  family: Family;
  /** config.json of the model. */
  config: Readonly<Record<string, unknown>>;
  /** All weights, by their names in the module tree; without the head where it is tied. */
  tensors: readonly TensorSource[];
  /** The folder that the model came from: its tokenizer, template, preprocessor and licence files are copied. */
  base: string;
}

/** What of a model's folder holds no weights. */
const besideWeights = /\.(json|jinja|model|txt)$|^(LICENSE|NOTICE)/;

/**
 * Writes a model as a folder that `transformers` loads. The folder appears whole or not at all.
 * @param folder new or empty
 * @throws Error when it has content already, and the file system's errors
 */
export async function exportModel(
  folder: string,
  { family, config, tensors, base }: ExportedModel,
  options: WriteOptions & { shardBytes?: number } = {},
): Promise<void> {
  const named = tensors.map((tensor): TensorSource => {
    const name = diskName(family, tensor.name);
    if (name === null) throw new Error(`${family} has no name on disk for ${tensor.name}.`);
    return { name, shape: tensor.shape, read: () => tensor.read() };
  });
  const isNew = await writeNewFolder(folder, async (temporary) => {
    for (const { name } of (await readdir(base, { withFileTypes: true })).filter((entry) => entry.isFile()))
      if (besideWeights.test(name) && name !== indexFile && name !== 'config.json')
        await copyFile(join(base, name), join(temporary, name));
    const type = options.format === 'BF16' ? 'bfloat16' : 'float32';
    await writeFile(join(temporary, 'config.json'), JSON.stringify(withType(config, type), null, 2) + '\n');
    await writeWeights(temporary, named, options);
  });
  if (!isNew) throw new Error(`${folder} has files already. Name a new folder.`);
}

/** A configuration that says of which type its weights are, in its parts too: transformers loads them as that type. */
function withType(config: Readonly<Record<string, unknown>>, type: string): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(config).map(([key, value]) => {
      if (key === 'dtype' || key === 'torch_dtype') return [key, type];
      const isPart = key.endsWith('_config') && typeof value === 'object' && value !== null && !Array.isArray(value);
      return [key, isPart ? withType(value as Record<string, unknown>, type) : value];
    }),
  );
}
