import type { FileHandle } from 'node:fs/promises';
import { z } from 'zod';
import { DamagedFileError } from './damaged-file-error.js';
import { fill } from './file-range.js';
import { valuesOf } from './shape.js';

/*
 * The header of a safetensors file: 8 bytes of length, JSON with each tensor's type, shape and place, then the data
 * without gaps. Format: https://github.com/huggingface/safetensors
 */

/** A longer header means a damaged length field (the limit of the reference implementation). */
const maxHeaderBytes = 100_000_000;
const lengthBytes = 8;

/** Bits per value of every type that the format knows. Only F32, F16 and BF16 are weights. */
const bitsPerValue: Readonly<Record<string, number>> = {
  ...{ BOOL: 8, U8: 8, I8: 8, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, F4: 4 },
  ...{ F6_E2M3: 6, F6_E3M2: 6, I16: 16, U16: 16, F16: 16, BF16: 16, I32: 32, U32: 32, F32: 32 },
  ...{ C64: 64, F64: 64, I64: 64, U64: 64 },
};

export interface StoredTensor {
  dtype: string;
  shape: readonly number[];
  /** Path of its file. */
  file: string;
  /** Its bytes in the file: from `start`, up to and without `end`. */
  start: number;
  end: number;
}

export interface SafetensorsHeader {
  tensors: Map<string, StoredTensor>;
  metadata: Record<string, string>;
}

const size = z.number().int().nonnegative();
const Entry = z.object({ dtype: z.string(), shape: z.array(size), data_offsets: z.tuple([size, size]) });
const Header = z.record(z.string(), z.unknown());
const Metadata = z.record(z.string(), z.string());

const again = 'Download or copy the file again.';

/**
 * Reads a file's header, and checks that its tensors fill the file without gap or overlap.
 * @param path for messages
 * @throws DamagedFileError with the fault
 */
export async function readHeader(file: FileHandle, path: string): Promise<SafetensorsHeader> {
  const fault = (words: string, options?: ErrorOptions): DamagedFileError =>
    new DamagedFileError(`${path} ${words} ${again}`, options);
  const { size: fileBytes } = await file.stat();
  if (fileBytes < lengthBytes) throw fault(`has ${fileBytes} bytes; a safetensors file has at least ${lengthBytes}.`);
  const length = Number((await readBytes(file, path, 0, lengthBytes)).readBigUInt64LE());
  if (length > maxHeaderBytes)
    throw fault(`says that its header has ${length} bytes, and at most ${maxHeaderBytes} are allowed: it is damaged.`);
  const dataStart = lengthBytes + length;
  if (dataStart > fileBytes)
    throw fault(`is cut short: it says that its header has ${length} bytes, and the file has ${fileBytes}.`);
  let entries: Record<string, unknown>;
  try {
    const json = new TextDecoder('utf-8', { fatal: true }).decode(await readBytes(file, path, lengthBytes, length));
    entries = Header.parse(JSON.parse(json));
  } catch (error) {
    throw fault('has a damaged header: it is not a JSON object.', { cause: error });
  }

  const { __metadata__: metadata = {}, ...listed } = entries;
  const parsedMetadata = Metadata.safeParse(metadata);
  if (!parsedMetadata.success) throw fault('has a damaged header: its metadata are not text.');
  const tensors = Object.entries(listed).map(([name, entry]): [string, StoredTensor] => {
    const parsed = Entry.safeParse(entry);
    if (!parsed.success) throw fault(`has a damaged header: the entry of ${name} is malformed.`);
    const [from, to] = parsed.data.data_offsets;
    return [name, { ...parsed.data, file: path, start: dataStart + from, end: dataStart + to }];
  });
  tensors.sort(([, a], [, b]) => a.start - b.start || a.end - b.end);
  let end = dataStart;
  for (const [name, { dtype, shape, start, end: to }] of tensors) {
    const bits = Object.hasOwn(bitsPerValue, dtype) ? bitsPerValue[dtype]! : undefined;
    if (bits === undefined) throw fault(`has a damaged header: ${name} has the unknown type ${dtype}.`);
    const bytes = (valuesOf(shape) * bits) / 8;
    if (to - start !== bytes)
      throw fault(
        `has a damaged header: ${name}, ${dtype} of shape [${shape.join(', ')}], takes ${bytes} bytes, and has ${to - start}.`,
      );
    if (start !== end)
      throw fault(
        `has a damaged header: ${name} ${start < end ? 'overlaps' : 'leaves a gap after'} the tensor before it.`,
      );
    if (to > fileBytes) throw fault(`is cut short: it has ${fileBytes} bytes, and ${name} ends at byte ${to}.`);
    end = to;
  }
  if (end !== fileBytes) throw fault(`is damaged: ${fileBytes - end} bytes follow its last tensor.`);
  return { tensors: new Map(tensors), metadata: parsedMetadata.data };
}

/**
 * The bytes of a header, padded with spaces to a multiple of eight so that the data is aligned.
 * @param tensors in the order of their data
 */
export function headerBytes(
  tensors: readonly { name: string; dtype: string; shape: readonly number[]; bytes: number }[],
  metadata: Readonly<Record<string, string>>,
): Buffer {
  // `Object.fromEntries` takes every name, `__proto__` too.
  let offset = 0;
  const entries = tensors.map(({ name, dtype, shape, bytes }): [string, unknown] => [
    name,
    { dtype, shape, data_offsets: [offset, (offset += bytes)] },
  ]);
  const json = Buffer.from(JSON.stringify(Object.fromEntries([['__metadata__', metadata], ...entries])));
  const length = Math.ceil(json.length / 8) * 8;
  if (length > maxHeaderBytes) throw new Error(`A header of ${length} bytes is too long for a safetensors file.`);
  const header = Buffer.alloc(lengthBytes + length, ' ');
  header.writeBigUInt64LE(BigInt(length));
  json.copy(header, lengthBytes);
  return header;
}

async function readBytes(file: FileHandle, path: string, from: number, length: number): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  await fill(file, path, bytes, from);
  return bytes;
}
