import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { fromHalf, roundToBfloat16, widen } from './number-format.js';

const all = Uint16Array.from({ length: 1 << 16 }, (_, bits) => bits);
const sha256 = (values: ArrayBufferView): string =>
  createHash('sha256').update(Buffer.from(values.buffer)).digest('hex');

it('widens every F16 number as numpy does, in bits', () => {
  const widened = new Float32Array(all.length);
  widen(all, widened, 'F16');
  const isNaNBits = all.map((bits) => Number((bits & 0x7fff) > 0x7c00));
  expect(widened.every((value, at) => Number.isNaN(value) === Boolean(isNaNBits[at]))).toBe(true);
  // numpy: half = np.arange(65536, dtype='u2').view('f2'); sha256(np.where(np.isnan(half), 0, half).astype('f4'))
  const numbers = widened.map((value) => (Number.isNaN(value) ? 0 : value));
  expect(sha256(numbers)).toBe('faa6d965574036872b0d39a42d1f8bee361d5be92b1e718155a69556a5abacdd');
  expect([0x3c00, 0xc000, 0x0001, 0x7bff, 0xfc00].map(fromHalf)).toEqual([1, -2, 2 ** -24, 65504, -Infinity]);
  expect(Object.is(fromHalf(0x8000), -0)).toBe(true);
});

it('widens every BF16 number to the F32 number with the same upper half', () => {
  const widened = new Float32Array(all.length);
  widen(all, widened, 'BF16');
  const bits = new Uint32Array(widened.buffer);
  expect(bits.every((value, at) => value === (at * 65536) >>> 0)).toBe(true);
});

it('rounds to BF16 to the nearest, ties to even, and keeps NaN and infinities', () => {
  const bits = Uint32Array.of(
    ...[0x3f800000, 0x3f807fff, 0x3f808000, 0x3f808001, 0x3f818000, 0xff7fffff, 0x7f800000, 0x7f800001, 0xffc12345],
  );
  const rounded = new Uint16Array(bits.length);
  roundToBfloat16(new Float32Array(bits.buffer), rounded);
  expect([...rounded]).toEqual([0x3f80, 0x3f80, 0x3f80, 0x3f81, 0x3f82, 0xff80, 0x7f80, 0x7fc0, 0xffc1]);
});
