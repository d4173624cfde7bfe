import { GGMLQuantizationType } from '@huggingface/gguf';
import { fromHalf, widen } from './number-format.js';

/*
 * The formats of tensors in GGUF files that are read. A quantised tensor is a row of blocks; each has its scale in F16,
 * Q4_1 also its smallest value, and then its integers. Layouts: ggml's ggml-common.h.
 */

interface BlockFormat {
  /** Values of a block. */
  values: number;
  /** Bytes of a block. */
  bytes: number;
  /**
   * Makes F32 of blocks, as ggml and the Python package gguf do, to the bit.
   * @param from whole blocks, at the start of their buffer
   * @param to as many values
   */
  read(from: Uint8Array, to: Float32Array): void;
}

const single: BlockFormat = {
  values: 1,
  bytes: 4,
  read: (from, to) => new Uint8Array(to.buffer, to.byteOffset, to.byteLength).set(from),
};
const widened = (format: 'F16' | 'BF16'): BlockFormat => ({
  values: 1,
  bytes: 2,
  read: (from, to) => widen(new Uint16Array(from.buffer, from.byteOffset, to.length), to, format),
});

const blockValues = 32;
const halfAt = (bytes: Uint8Array, at: number): number => fromHalf(bytes[at]! | (bytes[at + 1]! << 8));

/** The lower four bits of the bytes are the first half of a block, the upper ones the second. */
function readNibbles(from: Uint8Array, at: number, to: Float32Array, first: number, values: Float32Array): void {
  for (let i = 0; i < blockValues / 2; i++) {
    const pair = from[at + i]!;
    to[first + i] = values[pair & 15]!;
    to[first + i + blockValues / 2] = values[pair >> 4]!;
  }
}

const q8: BlockFormat = {
  values: blockValues,
  bytes: 2 + blockValues,
  read(from, to) {
    for (let at = 0, first = 0; at < from.length; at += this.bytes, first += blockValues) {
      const scale = halfAt(from, at);
      for (let i = 0; i < blockValues; i++) to[first + i] = scale * ((from[at + 2 + i]! << 24) >> 24);
    }
  },
};
const q4 = (offsetBytes: 0 | 2): BlockFormat => ({
  values: blockValues,
  bytes: 2 + offsetBytes + blockValues / 2,
  read(from, to) {
    const values = new Float32Array(16);
    for (let at = 0, first = 0; at < from.length; at += this.bytes, first += blockValues) {
      const scale = halfAt(from, at);
      // The products are exact in F32, so that rounding happens once, at the sum.
      if (offsetBytes === 0) for (let q = 0; q < 16; q++) values[q] = scale * (q - 8);
      else {
        const smallest = halfAt(from, at + 2);
        for (let q = 0; q < 16; q++) values[q] = scale * q + smallest;
      }
      readNibbles(from, at + 2 + offsetBytes, to, first, values);
    }
  },
});

const formats = new Map<GGMLQuantizationType, BlockFormat>([
  [GGMLQuantizationType.F32, single],
  [GGMLQuantizationType.F16, widened('F16')],
  [GGMLQuantizationType.BF16, widened('BF16')],
  [GGMLQuantizationType.Q8_0, q8],
  [GGMLQuantizationType.Q4_0, q4(0)],
  [GGMLQuantizationType.Q4_1, q4(2)],
]);

/** The formats that are read, by name. */
export const readFormats = [...formats.keys()].map(formatName);

/** @returns undefined for a format that is not read */
export const blockFormat = (type: GGMLQuantizationType): BlockFormat | undefined => formats.get(type);

export function formatName(type: GGMLQuantizationType): string {
  return GGMLQuantizationType[type] ?? `number ${type}`;
}
