import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, readdir, readFile, type FileHandle } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { DamagedFileError } from './damaged-file-error.js';
import { fill } from './file-range.js';
import { bytesPerValue, parts, weightFormats, widen, type WeightFormat } from './number-format.js';
import { valuesOf } from './shape.js';
import { readHeader, type StoredTensor } from './safetensors-header.js';

export const singleFile = 'model.safetensors';
export const indexFile = 'model.safetensors.index.json';

const Index = z.object({ weight_map: z.record(z.string(), z.string()) });

/**
 * The weights in a folder of the Hugging Face layout: model.safetensors, or shards with their index. Opening reads the
 * headers only; a tensor is read by its range, so that memory holds one tensor and a bounded buffer.
 */
export class WeightFiles {
  #bytesRead = 0;
  private constructor(
    /** All tensors, by their names on disk. */
    readonly tensors: ReadonlyMap<string, StoredTensor>,
    private readonly files: ReadonlyMap<string, FileHandle>,
  ) {}

  /** @throws DamagedFileError with the file, the tensor and the remedy */
  static async open(folder: string): Promise<WeightFiles> {
    const files = new Map<string, FileHandle>();
    try {
      const weightMap = await shardsOf(folder);
      const tensors = new Map<string, StoredTensor>();
      for (const shard of weightMap ? new Set(weightMap.values()) : [singleFile]) {
        const path = join(folder, shard);
        const file = await openShard(path, shard, weightMap);
        files.set(path, file);
        for (const [name, tensor] of (await readHeader(file, path)).tensors) {
          // The index decides which of two tensors of one name counts. A tensor that it does not list counts too.
          if ((weightMap?.get(name) ?? shard) !== shard) continue;
          const twice = tensors.get(name);
          if (twice) throw new DamagedFileError(`${name} is both in ${twice.file} and in ${path}. Remove one of them.`);
          tensors.set(name, tensor);
        }
      }
      for (const [name, shard] of weightMap ?? [])
        if (!tensors.has(name))
          throw new DamagedFileError(
            `${join(folder, indexFile)} lists ${name} in ${shard}, which does not have it: they are of different models. ` +
              'Download the index and its shards again.',
          );
      return new WeightFiles(tensors, files);
    } catch (error) {
      for (const file of files.values()) await file.close();
      throw error;
    }
  }

  /** Opens one safetensors file, whatever its name. @throws DamagedFileError with the fault */
  static async openFile(path: string): Promise<WeightFiles> {
    const file = await openShard(path, path, null);
    try {
      return new WeightFiles((await readHeader(file, path)).tensors, new Map([[path, file]]));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Bytes of tensors read so far. */
  get bytesRead(): number {
    return this.#bytesRead;
  }

  /**
   * A tensor that `read` can read.
   * @throws DamagedFileError when it is absent, or no weight
   */
  weight(name: string): StoredTensor & { format: WeightFormat } {
    const tensor = this.tensors.get(name);
    if (!tensor) throw new DamagedFileError(`There is no tensor ${name} in ${[...this.files.keys()].join(', ')}.`);
    const format = weightFormats.find((each) => each === tensor.dtype);
    if (!format)
      throw new DamagedFileError(
        `${name} in ${tensor.file} has type ${tensor.dtype}; weights are ${weightFormats.join(', ')}. ` +
          'Take the model’s files that are not quantised, or save it in one of these types.',
      );
    return { ...tensor, format };
  }

  /**
   * Reads a tensor, or some of its rows, as F32.
   * @param rows a range of the first axis, without `to`
   * @throws DamagedFileError when it is absent or no weight, or its file is cut short meanwhile
   */
  async read(name: string, rows?: { from: number; to: number }): Promise<Float32Array> {
    const { file, start, shape, format } = this.weight(name);
    const [count = 1, ...rest] = shape;
    const rowSize = valuesOf(rest);
    const { from, to } = rows ?? { from: 0, to: count };
    if (!(from >= 0 && from <= to && to <= count))
      throw new RangeError(`${name} has ${count} rows; rows ${from} to ${to} were asked for.`);
    const values = new Float32Array((to - from) * rowSize);
    const at = start + from * rowSize * bytesPerValue[format];
    if (format === 'F32') await this.#fill(file, new Uint8Array(values.buffer), at);
    else {
      let bits: Uint16Array | undefined;
      for (const part of parts(values.length)) {
        const length = part.to - part.from;
        bits ??= new Uint16Array(length);
        const used = bits.subarray(0, length);
        await this.#fill(file, new Uint8Array(used.buffer, 0, length * 2), at + part.from * 2);
        widen(used, values.subarray(part.from, part.to), format);
      }
    }
    return values;
  }

  /** SHA-256 over all files in the order of their names, in hex: the identity of a base model. Reads everything once. */
  async digest(): Promise<string> {
    const hash = createHash('sha256');
    for (const path of [...this.files.keys()].sort())
      for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
    return hash.digest('hex');
  }

  async close(): Promise<void> {
    for (const file of this.files.values()) await file.close();
  }

  async #fill(path: string, bytes: Uint8Array, from: number): Promise<void> {
    await fill(this.files.get(path)!, path, bytes, from);
    this.#bytesRead += bytes.length;
  }
}

/** The shard of each tensor, or null when one file holds all. */
async function shardsOf(folder: string): Promise<Map<string, string> | null> {
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') throw new DamagedFileError(`There is no folder ${folder}.`);
    if (error.code === 'ENOTDIR') throw new DamagedFileError(`${folder} is a file; name the folder of a model.`);
    throw error;
  });
  if (names.includes(singleFile)) return null;
  if (!names.includes(indexFile)) throw new DamagedFileError(noWeights(folder, names));
  const path = join(folder, indexFile);
  let index: z.infer<typeof Index>;
  try {
    index = Index.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch (error) {
    throw new DamagedFileError(`${path} is damaged: it has no weight_map from tensors to shards. Download it again.`, {
      cause: error,
    });
  }
  const weightMap = new Map(Object.entries(index.weight_map));
  if (weightMap.size === 0) throw new DamagedFileError(`${path} is damaged: it lists no tensors. Download it again.`);
  for (const [name, shard] of weightMap)
    if (basename(shard) !== shard)
      throw new DamagedFileError(`${path} lists ${name} in ${shard}, outside of its folder. Download it again.`);
  return weightMap;
}

function noWeights(folder: string, names: readonly string[]): string {
  const missing = `${folder} has neither ${singleFile} nor ${indexFile}.`;
  const pickled = names.find((name) => /\.(bin|pth|pt)$/.test(name));
  if (pickled)
    return `${missing} ${pickled} is a Python pickle, which is not read: save the model as safetensors with transformers.`;
  const gguf = names.find((name) => name.endsWith('.gguf'));
  if (gguf) return `${missing} ${gguf} is a GGUF file; take the model’s safetensors instead.`;
  const shard = names.find((name) => name.endsWith('.safetensors'));
  if (shard) return `${missing} It has ${shard}: rename it if it is the whole model, or download the index.`;
  return `${missing} Name the folder of a model in the Hugging Face layout.`;
}

async function openShard(path: string, shard: string, weightMap: Map<string, string> | null): Promise<FileHandle> {
  return open(path, 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    if (weightMap === null) throw new DamagedFileError(`There is no file ${path}.`);
    const lost = [...weightMap.values()].filter((file) => file === shard).length;
    throw new DamagedFileError(
      `${path} is missing; ${indexFile} lists ${lost === 1 ? 'a tensor' : `${lost} tensors`} in it. Download this shard.`,
    );
  });
}
