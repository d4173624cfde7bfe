import { createHash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { writeWhole, writeWholeFrom } from '../whole-file.js';
import { bytesPerValue, parts, roundToBfloat16 } from './number-format.js';
import { valuesOf } from './shape.js';
import { headerBytes } from './safetensors-header.js';
import { indexFile, singleFile } from './weight-files.js';

/** A tensor that is made only when its turn to be written comes. */
export interface TensorSource {
  name: string;
  shape: readonly number[];
  read(): Promise<Float32Array> | Float32Array;
}

export interface WriteOptions {
  /** BF16 rounds to the nearest. */
  format?: 'F32' | 'BF16';
  /** `transformers` 4 wants to read in it which framework the tensors are of. */
  metadata?: Readonly<Record<string, string>>;
}

export interface WrittenFile {
  bytes: number;
  /** SHA-256 of the file, in hex. */
  digest: string;
}

/** The largest shard of transformers 4; every tool reads it. */
const defaultShardBytes = 5_000_000_000;

/**
 * Writes a safetensors file atomically, one tensor at a time: memory holds one tensor and a bounded buffer.
 * @throws the file system's errors; an existing file then stays as it was
 */
export async function writeSafetensorsFile(
  path: string,
  tensors: readonly TensorSource[],
  { format = 'F32', metadata = { format: 'pt' } }: WriteOptions = {},
): Promise<WrittenFile> {
  const sized = tensors.map((tensor) => ({ ...tensor, dtype: format, bytes: bytesOf(tensor, format) }));
  return await writeWholeFrom(path, async (file) => {
    const hash = createHash('sha256');
    let bytes = 0;
    const write = async (part: Uint8Array): Promise<void> => {
      hash.update(part);
      bytes += part.length;
      await writeAll(file, part);
    };
    await write(headerBytes(sized, metadata));
    let bits: Uint16Array | undefined;
    for (const tensor of tensors) {
      const { name, shape } = tensor;
      const values = await tensor.read();
      if (values.length !== valuesOf(shape))
        throw new Error(`${name} of shape [${shape.join(', ')}] has ${values.length} values.`);
      for (const { from, to } of parts(values.length)) {
        const part = values.subarray(from, to);
        if (format === 'F32') await write(bytesIn(part));
        else {
          if (!bits || bits.length < part.length) bits = new Uint16Array(part.length);
          roundToBfloat16(part, bits);
          await write(bytesIn(bits.subarray(0, part.length)));
        }
      }
    }
    return { bytes, digest: hash.digest('hex') };
  });
}

/**
 * Writes the weights of a model in the Hugging Face layout: model.safetensors, or shards and their index when they take
 * more than `shardBytes`. The index comes last. Meant for a new folder: `writeNewFolder`.
 * @returns the files, in their order
 */
export async function writeWeights(
  folder: string,
  tensors: readonly TensorSource[],
  { shardBytes = defaultShardBytes, ...options }: WriteOptions & { shardBytes?: number } = {},
): Promise<WrittenFile[]> {
  const shards = planShards(tensors, options.format ?? 'F32', shardBytes);
  if (shards.length <= 1) return [await writeSafetensorsFile(join(folder, singleFile), tensors, options)];
  const number = (count: number): string => String(count).padStart(5, '0');
  const weightMap: [name: string, shard: string][] = [];
  const written: WrittenFile[] = [];
  for (const [at, shard] of shards.entries()) {
    const name = `model-${number(at + 1)}-of-${number(shards.length)}.safetensors`;
    written.push(await writeSafetensorsFile(join(folder, name), shard, options));
    weightMap.push(...shard.map((tensor): [string, string] => [tensor.name, name]));
  }
  const size = tensors.reduce((sum, tensor) => sum + bytesOf(tensor, options.format ?? 'F32'), 0);
  const index = { metadata: { total_size: size }, weight_map: Object.fromEntries(weightMap) };
  await writeWhole(join(folder, indexFile), JSON.stringify(index, null, 2) + '\n');
  return written;
}

function planShards(tensors: readonly TensorSource[], format: 'F32' | 'BF16', shardBytes: number): TensorSource[][] {
  const shards: TensorSource[][] = [];
  let room = 0;
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor, format);
    if (shards.length === 0 || bytes > room) {
      shards.push([]);
      room = shardBytes;
    }
    shards.at(-1)!.push(tensor);
    room -= bytes;
  }
  return shards;
}

const bytesOf = ({ shape }: TensorSource, format: 'F32' | 'BF16'): number => valuesOf(shape) * bytesPerValue[format];
const bytesIn = (part: Float32Array | Uint16Array): Uint8Array =>
  new Uint8Array(part.buffer, part.byteOffset, part.byteLength);

async function writeAll(file: FileHandle, bytes: Uint8Array): Promise<void> {
  for (let done = 0; done < bytes.length;) done += (await file.write(bytes, done)).bytesWritten;
}
