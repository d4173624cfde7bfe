import { beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { Rng } from '@plumbline/shared/rng';
import { selectBackend } from './select-backend.js';

/*
 * Compared with the definition, number by number in double precision, including a product's gradient, which consists of
 * products. Tolerance: sums of up to 64 products of about 1 in single precision, 1e-5.
 */
const rng = new Rng(5);
const random = (...shape: number[]): tf.Tensor =>
  tf.tensor(
    Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => rng.uniform() * 2 - 1),
    shape,
  );

/** The index into a tensor's data at each place. */
const reader = (x: tf.Tensor): ((...at: number[]) => number) => {
  const data = x.dataSync();
  return (...at) => data[at.reduce((sum, index, axis) => sum * x.shape[axis]! + index, 0)]!;
};

/** Like tf.matMul, for tensors [count, rows, columns]. */
function productByDefinition(a: tf.Tensor, b: tf.Tensor, transposeA = false, transposeB = false): number[] {
  const [left, right] = [reader(a), reader(b)];
  const [count, rows, inner] = [a.shape[0]!, a.shape[transposeA ? 2 : 1]!, a.shape[transposeA ? 1 : 2]!];
  const columns = b.shape[transposeB ? 1 : 2]!;
  const values: number[] = [];
  for (let i = 0; i < count; i++)
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) {
        let sum = 0;
        for (let k = 0; k < inner; k++)
          sum +=
            (transposeA ? left(i, k, row) : left(i, row, k)) * (transposeB ? right(i, column, k) : right(i, k, column));
        values.push(sum);
      }
  return values;
}

function expectClose(got: tf.Tensor, wanted: readonly number[]): void {
  const values = got.dataSync();
  expect(values).toHaveLength(wanted.length);
  expect(Math.max(...wanted.map((value, i) => Math.abs(value - values[i]!)))).toBeLessThan(1e-5);
}

describe('the kernels for WASM', () => {
  beforeAll(async () => {
    await selectBackend({ prefer: 'wasm' });
  });

  const flags = [false, true].flatMap((transposeA) => [false, true].map((transposeB) => ({ transposeA, transposeB })));
  // A single product; several, computed matrix by matrix; several that are too small for that.
  const sizes = [
    { count: 1, rows: 33, inner: 17, columns: 50 },
    { count: 6, rows: 32, inner: 24, columns: 33 },
    { count: 6, rows: 5, inner: 4, columns: 3 },
  ];
  it.each(flags.flatMap((flag) => sizes.map((size) => ({ ...flag, ...size }))))(
    'multiply, and give the gradients of products: $count of $rows x $inner x $columns, transposed $transposeA, $transposeB',
    ({ transposeA, transposeB, count, rows, inner, columns }) => {
      const a = transposeA ? random(count, inner, rows) : random(count, rows, inner);
      const b = transposeB ? random(count, columns, inner) : random(count, inner, columns);
      const dy = random(count, rows, columns);
      const multiply = (a: tf.Tensor, b: tf.Tensor): tf.Tensor => tf.matMul(a, b, transposeA, transposeB);
      expectClose(multiply(a, b), productByDefinition(a, b, transposeA, transposeB));
      const [da, db] = tf.grads(multiply)([a, b], dy) as [tf.Tensor, tf.Tensor];
      // With A and B as multiplied: dA = dY B^T and dB = A^T dY; for a transposed operand, the transpose of these.
      expectClose(
        da,
        transposeA ? productByDefinition(b, dy, transposeB, true) : productByDefinition(dy, b, false, !transposeB),
      );
      expectClose(
        db,
        transposeB ? productByDefinition(dy, a, true, transposeA) : productByDefinition(a, dy, !transposeA, false),
      );
    },
  );

  it('multiply batches of several axes, and one matrix by several', () => {
    const [a, b] = [random(2, 3, 20, 24), random(2, 3, 20, 24)];
    const scores = tf.matMul(a, b, false, true);
    expect(scores.shape).toEqual([2, 3, 20, 20]);
    const flat = [a, b].map((x) => tf.reshape(x, [6, 20, 24]));
    expectClose(scores, productByDefinition(flat[0]!, flat[1]!, false, true));
    const one = random(1, 24, 30);
    const all = tf.matMul(flat[0]!, one);
    expect(all.shape).toEqual([6, 20, 30]);
    expectClose(all, productByDefinition(flat[0]!, tf.tile(one, [6, 1, 1])));
  });

  it.each([
    { first: [6, 4], then: [4, 6] },
    { first: [4, 1], then: [1, 4] },
  ])('multiply with data as $then that were multiplied with as $first before', ({ first, then }) => {
    const b = random(1, ...first);
    const again = tf.reshape(b, [1, ...then]);
    const [a, c] = [random(1, 5, first[0]!), random(1, 5, then[0]!)];
    expectClose(tf.matMul(a, b), productByDefinition(a, b));
    expectClose(tf.matMul(c, again), productByDefinition(c, again));
    expectClose(tf.matMul(a, b), productByDefinition(a, b));
  });

  it.each([
    { shape: [2, 3, 4], perm: [2, 0, 1] },
    { shape: [2, 5, 3, 4, 6], perm: [2, 0, 3, 1, 4] },
    { shape: [3, 2, 4, 5, 6], perm: [1, 3, 0, 2, 4] },
    { shape: [2, 3, 4, 2, 5, 3], perm: [5, 1, 3, 2, 4, 0] },
  ])('transpose $shape to $perm', ({ shape, perm }) => {
    const x = random(...shape);
    const [turned, read] = [tf.transpose(x, perm), reader(x)];
    expect(turned.shape).toEqual(perm.map((axis) => shape[axis]));
    const got = reader(turned);
    for (let i = 0; i < x.size; i++) {
      const at = tf.util.indexToLoc(i, shape.length, tf.util.computeStrides(shape));
      expect(got(...perm.map((axis) => at[axis]!))).toBe(read(...at));
    }
    const ints = tf.cast(tf.mul(x, 100), 'int32');
    expect(
      tf
        .transpose(
          tf.transpose(ints, perm),
          perm.map((_, axis) => perm.indexOf(axis)),
        )
        .arraySync(),
    ).toEqual(ints.arraySync());
  });

  it.each([
    { shape: [6, 4, 5], axis: 0 },
    { shape: [4, 6, 5], axis: 1 },
    { shape: [4, 5, 6], axis: -1 },
  ])('split and unstack $shape along axis $axis', ({ shape, axis }) => {
    const x = random(...shape);
    const split = tf.split(x, [1, 3, 2], axis);
    expect(split.map(({ shape }) => shape.at(axis))).toEqual([1, 3, 2]);
    expect(tf.concat(split, axis).arraySync()).toEqual(x.arraySync());
    const single = tf.unstack(x, axis);
    expect(single).toHaveLength(6);
    single.forEach((part, i) => expect(part.arraySync()).toEqual(tf.gather(x, i, axis).arraySync()));
  });

  it('leave nothing behind', () => {
    const held = (): number => (tf.backend() as unknown as { numDataIds(): number }).numDataIds();
    const before = held();
    tf.tidy(() => {
      for (const { count, rows, inner, columns } of sizes)
        tf.grads((a, b) => tf.matMul(a, b, true, true))([random(count, inner, rows), random(count, columns, inner)]);
      const b = random(1, 6, 4);
      tf.matMul(random(1, 5, 6), b);
      tf.matMul(random(1, 5, 4), tf.reshape(b, [1, 4, 6]));
      tf.unstack(tf.transpose(random(2, 5, 3, 4, 6), [2, 0, 3, 1, 4]));
    });
    expect(held()).toBe(before);
  });
});
