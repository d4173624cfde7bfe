import { open, stat, type FileHandle } from 'node:fs/promises';
import { gguf, type GGMLQuantizationType } from '@huggingface/gguf';
import { DamagedFileError } from './damaged-file-error.js';
import { blockFormat, formatName, readFormats } from './dequantize.js';
import { fill } from './file-range.js';
import { bufferBytes, parts } from './number-format.js';
import { valuesOf } from './shape.js';

const again = 'Download or copy the file again.';

export interface GgufTensor {
  type: GGMLQuantizationType;
  /** Rows first, as in PyTorch; GGUF has them last. */
  shape: readonly number[];
  /** Its first byte in the file. */
  start: number;
}

/** A GGUF file: metadata and tensors by name. A tensor is read by its range and dequantised block by block. */
export class GgufFile {
  private constructor(
    readonly path: string,
    readonly metadata: Readonly<Record<string, unknown>>,
    readonly tensors: ReadonlyMap<string, GgufTensor>,
    private readonly file: FileHandle,
  ) {}

  /** @throws DamagedFileError when it is cut short, altered, of another kind, or quantised in a way that is not read */
  static async open(path: string): Promise<GgufFile> {
    const { size } = await stat(path).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' ? new DamagedFileError(`There is no file ${path}.`) : error;
    });
    const parsed = await gguf(path, { allowLocalFile: true }).catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      throw new DamagedFileError(`${path} is no GGUF file, or damaged: ${reason}. ${again}`, { cause: error });
    });
    if (parsed.tensorInfoByteRange[1] > size)
      throw new DamagedFileError(`${path} is cut short: it ends within its list of tensors. ${again}`);
    if (!parsed.littleEndian) throw new DamagedFileError(`${path} is big-endian; take the little-endian file.`);
    const tensors = new Map<string, GgufTensor>();
    for (const { name, shape, dtype, offset } of parsed.tensorInfos) {
      const tensor = {
        type: dtype,
        shape: shape.map(Number).reverse(),
        start: Number(parsed.tensorDataOffset + offset),
      };
      if (tensors.has(name)) throw new DamagedFileError(`${path} is damaged: it has ${name} twice. ${again}`);
      requireWhole(path, name, tensor, size);
      tensors.set(name, tensor);
    }
    return new GgufFile(path, parsed.metadata as unknown as Record<string, unknown>, tensors, await open(path, 'r'));
  }

  /**
   * Reads a tensor as F32. Memory holds it and a bounded buffer.
   * @throws DamagedFileError when it is absent, or the file is cut short meanwhile
   */
  async read(name: string): Promise<Float32Array> {
    const tensor = this.tensors.get(name);
    if (!tensor) throw new DamagedFileError(`There is no tensor ${name} in ${this.path}.`);
    const format = blockFormat(tensor.type)!;
    const values = new Float32Array(valuesOf(tensor.shape));
    const blocks = values.length / format.values;
    const atOnce = Math.floor(bufferBytes / format.bytes);
    const buffer = new Uint8Array(Math.min(blocks, atOnce) * format.bytes);
    for (const { from, to } of parts(blocks, atOnce)) {
      const bytes = buffer.subarray(0, (to - from) * format.bytes);
      await fill(this.file, this.path, bytes, tensor.start + from * format.bytes);
      format.read(bytes, values.subarray(from * format.values, to * format.values));
    }
    return values;
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

function requireWhole(path: string, name: string, { type, shape, start }: GgufTensor, fileBytes: number): void {
  const format = blockFormat(type);
  if (!format)
    throw new DamagedFileError(
      `${name} in ${path} has format ${formatName(type)}; ${readFormats.join(', ')} are read. Take the model in one of them.`,
    );
  if ((shape.at(-1) ?? 1) % format.values !== 0)
    throw new DamagedFileError(
      `${path} is damaged: ${name} has rows of ${shape.at(-1)} values, in blocks of ${format.values}. ${again}`,
    );
  const end = start + (valuesOf(shape) / format.values) * format.bytes;
  if (end > fileBytes)
    throw new DamagedFileError(
      `${path} is cut short: it has ${fileBytes} bytes, and ${name} ends at byte ${end}. ${again}`,
    );
}
