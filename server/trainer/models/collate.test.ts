import { describe, expect, it } from 'vitest';
import { bucket, collateAngles, collateTokens, textPositions } from './collate.js';
import { noLabel, type Example } from './model.js';

const example = (ids: number[], labels: number[]): Example => ({
  ids: Int32Array.from(ids),
  labels: Int32Array.from(labels),
  pictures: [],
});
const none = noLabel;
const vocabulary = 10;

describe('collateTokens', () => {
  it('pads to a bucket and reads each answer at the position before it', () => {
    const batch = [example([1, 2, 3, 4], [none, none, 3, 4]), example([5, 6], [5, 6])];
    const { ids, read, targets, weights } = collateTokens(batch, { vocabulary });
    expect(ids).toEqual({ shape: [2, 8], data: Int32Array.of(1, 2, 3, 4, 0, 0, 0, 0, 5, 6, 0, 0, 0, 0, 0, 0) });
    // Nothing predicts the first token, whatever its label.
    expect(read).toEqual({ shape: [8], data: Int32Array.of(1, 2, 8, 0, 0, 0, 0, 0) });
    expect(targets.data).toEqual(Int32Array.of(3, 4, 6, 0, 0, 0, 0, 0));
    expect(weights.data).toEqual(Float32Array.of(1 / 3, 1 / 3, 1 / 3, 0, 0, 0, 0, 0));
  });

  it('pads to a given length', () => {
    expect(collateTokens([example([1], [none])], { vocabulary, length: 3 }).ids.shape).toEqual([1, 3]);
  });

  it.each([
    [example([], []), /Example 2 of the batch has no tokens/],
    [example([1, 2, 3], [1, 2, 3]), /has 3 tokens; at most 2 fit/],
    [example([1, 2], [1]), /2 tokens and 1 labels/],
    [example([1, 10], [1, 2]), /has the token 10; the model knows 10 tokens/],
    [example([1, -1], [1, 2]), /has the token -1/],
    [example([1, 2], [1, 11]), /has the token 11/],
  ])('refuses %j by its place', (bad, message) => {
    expect(() => collateTokens([example([1], [none]), bad], { vocabulary, length: 2 })).toThrow(message);
  });
});

it('has few lengths, at most a fourth too long beyond 32', () => {
  const lengths = Array.from({ length: 4096 }, (_, i) => i + 1);
  expect([...new Set(lengths.map((length) => bucket(length)))].slice(0, 12)).toEqual([
    8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128,
  ]);
  expect(new Set(lengths.map((length) => bucket(length))).size).toBe(8 + 6 * 4);
  for (const length of lengths) {
    expect(bucket(length)).toBeGreaterThanOrEqual(length);
    if (length > 32) expect(bucket(length)).toBeLessThan(1.25 * length);
    expect(bucket(bucket(length))).toBe(bucket(length));
  }
  expect(bucket(0)).toBe(8);
});

it('has the angles of each position of each text', () => {
  const { cos, sin } = collateAngles(2, [textPositions(2, 3)], Float32Array.of(1, 0.5));
  expect(cos.shape).toEqual([2, 3, 4]);
  const rows = [0, 1, 2, 0, 1, 2].flatMap((at) => [Math.sin(at), Math.sin(at / 2), Math.sin(at), Math.sin(at / 2)]);
  expect([...sin.data]).toEqual(rows.map((value) => expect.closeTo(value, 6) as number));
});
