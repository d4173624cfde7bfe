import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { nativeIsSetUp } from '../backend/native-setup.js';
import { selectBackend } from '../backend/select-backend.js';
import { rmsNorm } from '../models/layers/norms.js';
import { contributions, contributionShift } from './contribution.js';

// Compared with PyTorch in models/built-in/built-in.test.ts and on the shipped base model in probe-suite.test.ts.
describe('layer contributions, worked by hand', () => {
  beforeAll(() => selectBackend({ prefer: nativeIsSetUp('@tensorflow/tfjs-node') ? 'tensorflow' : 'wasm' }));

  it('are the additions of each update to the logits, after the norm', async () => {
    // One position of width 2, and the identity as head: (1, 0) has the RMS norm (√2, 0), (1, 1) stays, (0, 1) gives
    // (0, √2).
    const residuals = [
      [1, 0],
      [1, 1],
      [0, 1],
    ].map((x) => tf.tensor2d([x]));
    const found = contributions(residuals, (x) => rmsNorm(x, tf.ones([2]), 0));
    expect(found.shape).toEqual([2, 1, 2]);
    const [attention, mlp] = (await found.array()).map(([position]) => position!);
    expect(attention![0]).toBeCloseTo(1 - Math.SQRT2, 6);
    expect(attention![1]).toBeCloseTo(1, 6);
    expect(mlp![0]).toBeCloseTo(-1, 6);
    expect(mlp![1]).toBeCloseTo(Math.SQRT2 - 1, 6);
  });
  it('change by their root mean square, and push number tokens by their gain over the mean', async () => {
    const base = tf.tensor3d([1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2], [2, 2, 3]);
    // The first block moves by (3, 0, 0) and (0, 4, 0), the second by -1 everywhere.
    const now = tf.tensor3d([4, 1, 1, 1, 5, 1, 1, 1, 1, 1, 1, 1], [2, 2, 3]);
    const { change, numberPush } = await contributionShift(base, now, [0]);
    expect(change[0]).toBeCloseTo(Math.sqrt((9 + 16) / 6), 6);
    expect(change[1]).toBeCloseTo(1, 6);
    // Token 0 gains (3 + 0) / 2, a token on average (3 + 4) / 6. A shift of all logits pushes nothing.
    expect(numberPush[0]).toBeCloseTo(3 / 2 - 7 / 6, 6);
    expect(numberPush[1]).toBeCloseTo(0, 6);
  });
  it('change by exactly 0 against themselves', async () => {
    const some = tf.randomNormal([4, 5, 7], 0, 3, 'float32', 1) as tf.Tensor3D;
    expect(await contributionShift(some, some, [1, 2])).toEqual({ change: [0, 0, 0, 0], numberPush: [0, 0, 0, 0] });
  });
});
