/*
 * The float formats of weights on disk. JavaScript on Node 20 has typed arrays for F32 only: F16 goes through a table of
 * all its values, BF16 is the upper half of F32.
 */

export const weightFormats = ['F32', 'F16', 'BF16'] as const;
export type WeightFormat = (typeof weightFormats)[number];

export const bytesPerValue = { F32: 4, F16: 2, BF16: 2 } as const satisfies Record<WeightFormat, number>;

/** Values of one read or write; bounds the buffer of a tensor that is converted on its way. */
const valuesAtOnce = 1 << 20;
/** The largest buffer, in bytes, that reading or writing a tensor takes besides the tensor itself. */
export const bufferBytes = valuesAtOnce * 4;

let halfTable: Uint32Array | undefined;

/** The F32 bits of every F16 value, with subnormals, infinities and NaN. */
function halfBits(): Uint32Array {
  if (halfTable) return halfTable;
  const table = new Uint32Array(1 << 16);
  const values = new Float32Array(table.buffer);
  for (let half = 0; half < 1 << 16; half++) {
    const sign = half >> 15;
    const exponent = (half >> 10) & 31;
    const fraction = half & 1023;
    if (exponent === 0) values[half] = (sign ? -fraction : fraction) * 2 ** -24;
    else table[half] = (sign << 31) | ((exponent === 31 ? 255 : exponent + 112) << 23) | (fraction << 13);
  }
  return (halfTable = table);
}

/** The value of one F16 number. @param half its 16 bits */
export function fromHalf(half: number): number {
  oneValueBits[0] = halfBits()[half]!;
  return oneValue[0]!;
}
const oneValue = new Float32Array(1);
const oneValueBits = new Uint32Array(oneValue.buffer);

/**
 * Converts numbers of 16 bits to F32, exactly.
 * @param from the numbers' bits
 * @param to of the same length
 */
export function widen(from: Uint16Array, to: Float32Array, format: 'F16' | 'BF16'): void {
  const bits = new Uint32Array(to.buffer, to.byteOffset, to.length);
  if (format === 'BF16') for (let i = 0; i < bits.length; i++) bits[i] = from[i]! << 16;
  else {
    const table = halfBits();
    for (let i = 0; i < bits.length; i++) bits[i] = table[from[i]!]!;
  }
}

/**
 * Rounds F32 to BF16, to the nearest and ties to even, as PyTorch does. NaN stays NaN.
 * @param to the numbers' bits, of the same length
 */
export function roundToBfloat16(from: Float32Array, to: Uint16Array): void {
  const bits = new Uint32Array(from.buffer, from.byteOffset, from.length);
  for (let i = 0; i < bits.length; i++) {
    const value = bits[i]!;
    const isNaN = (value & 0x7fffffff) > 0x7f800000;
    to[i] = isNaN ? (value >>> 16) | 0x40 : (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
  }
}

/** The parts of a length that fit the buffer. */
export function* parts(length: number, atOnce = valuesAtOnce): Generator<{ from: number; to: number }> {
  for (let from = 0; from < length; from += atOnce) yield { from, to: Math.min(length, from + atOnce) };
}
