import { DamagedFileError } from './weights/damaged-file-error.js';

/** Values of one parameter on the host. */
export interface HostTensor {
  shape: number[];
  data: Float32Array;
}

/** A longer header means a damaged length field (the limit of the reference implementation). */
const maxHeaderBytes = 100_000_000;

/**
 * Tensors as a safetensors file: 8 bytes header length, JSON header, raw little-endian data without gaps.
 * Format: https://github.com/huggingface/safetensors; only F32 is written.
 */
export function writeSafetensors(
  tensors: ReadonlyMap<string, HostTensor>,
  metadata: Record<string, string> = {},
): Buffer {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const [name, { shape, data }] of tensors) {
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, (offset += data.byteLength)] };
  }
  // Spaces pad the header to a multiple of eight bytes, so that the data is aligned.
  const json = Buffer.from(JSON.stringify(header));
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const file = Buffer.alloc(8 + headerBytes + offset, ' ');
  file.writeBigUInt64LE(BigInt(headerBytes));
  json.copy(file, 8);
  let at = 8 + headerBytes;
  for (const { data } of tensors.values()) {
    Buffer.from(data.buffer, data.byteOffset, data.byteLength).copy(file, at);
    at += data.byteLength;
  }
  return file;
}

/** @throws DamagedFileError with the fault */
export function readSafetensors(file: Buffer): { tensors: Map<string, HostTensor>; metadata: Record<string, string> } {
  if (file.length < 8)
    throw new DamagedFileError(`The file has ${file.length} bytes; a safetensors file has at least 8.`);
  const headerBytes = Number(file.readBigUInt64LE());
  if (headerBytes > maxHeaderBytes || 8 + headerBytes > file.length)
    throw new DamagedFileError(`The header says it has ${headerBytes} bytes; the file has ${file.length}.`);
  let header: Record<string, { dtype?: unknown; shape?: unknown; data_offsets?: unknown }>;
  try {
    header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as typeof header;
  } catch (error) {
    throw new DamagedFileError('The header is not JSON.', { cause: error });
  }
  const { __metadata__: metadata = {}, ...entries } = header;
  const tensors = new Map<string, HostTensor>();
  let end = 0;
  const start = 8 + headerBytes;
  const ordered = Object.entries(entries).map(([name, { dtype, shape, data_offsets }]) => {
    const whole = (value: unknown): value is number[] =>
      Array.isArray(value) && value.every((entry) => Number.isSafeInteger(entry) && (entry as number) >= 0);
    if (dtype !== 'F32') throw new DamagedFileError(`${name} has type ${String(dtype)}; only F32 is read.`);
    if (!whole(shape) || !whole(data_offsets) || data_offsets.length !== 2)
      throw new DamagedFileError(`The entry of ${name} is malformed.`);
    return { name, shape, from: data_offsets[0]!, to: data_offsets[1]! };
  });
  ordered.sort((a, b) => a.from - b.from);
  for (const { name, shape, from, to } of ordered) {
    const size = shape.reduce((product, length) => product * length, 1);
    if (from !== end || to - from !== size * 4)
      throw new DamagedFileError(`${name} does not fill its place: bytes ${from} to ${to} for shape [${shape}].`);
    end = to;
    if (start + to > file.length) throw new DamagedFileError(`The file ends in the middle of ${name}.`);
    // Copied, because a view of the file's bytes may not be aligned to four.
    const data = new Float32Array(size);
    file.copy(new Uint8Array(data.buffer), 0, start + from, start + to);
    tensors.set(name, { shape, data });
  }
  if (start + end !== file.length)
    throw new DamagedFileError(`${file.length - start - end} bytes follow the last tensor.`);
  return { tensors, metadata: metadata as Record<string, string> };
}
