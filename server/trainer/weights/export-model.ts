import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { diskName, type Family } from './name-map.js';
import { writeNewFolder } from './new-folder.js';
import { indexFile } from './weight-files.js';
import { writeWeights, type TensorSource, type WriteOptions } from './write-weights.js';

export interface ExportedModel {
  family: Family;
  /** All weights, by their names in the module tree; without the head where it is tied. */
  tensors: readonly TensorSource[];
  /** The folder that the model came from: its configuration, tokenizer, template, preprocessor and licence are copied. */
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
  { family, tensors, base }: ExportedModel,
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
    const config = await readFile(join(base, 'config.json'), 'utf8');
    await writeFile(join(temporary, 'config.json'), ofType(config, options.format ?? 'F32'));
    await writeWeights(temporary, named, options);
  });
  if (!isNew) throw new Error(`${folder} has files already. Name a new folder.`);
}

/**
 * A configuration that says of which type its weights are, in its parts too: transformers loads them as that type. It is
 * changed as text, because JavaScript writes 1.0 as 1 and transformers 5 refuses an integer where it wants a float.
 */
const ofType = (config: string, format: 'F32' | 'BF16'): string =>
  config.replace(/("(?:torch_)?dtype"\s*:\s*)"[^"]*"/g, `$1"${format === 'BF16' ? 'bfloat16' : 'float32'}"`);
