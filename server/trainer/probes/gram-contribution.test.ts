import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { Rng } from '@plumbline/shared/rng';
import { nativeIsSetUp } from '../backend/native-setup.js';
import { selectBackend } from '../backend/select-backend.js';
import { contributionDelta, headGram } from './gram-contribution.js';

describe('the change of a block’s logits by Gram matrices', () => {
  beforeAll(async () => {
    await selectBackend({ prefer: nativeIsSetUp('@tensorflow/tfjs-node') ? 'tensorflow' : 'wasm' });
  });
  const rng = new Rng(4);
  const random = (rows: number, width: number): tf.Tensor2D =>
    tf.tensor2d(
      Array.from({ length: rows * width }, () => rng.normal()),
      [rows, width],
    );
  /** Through the vocabulary, in double precision. */
  async function throughVocabulary(
    w: tf.Tensor2D,
    u: tf.Tensor2D,
    w0: tf.Tensor2D,
    u0: tf.Tensor2D,
  ): Promise<number[]> {
    const [head, states, baseHead, baseStates] = (await Promise.all([w, u, w0, u0].map((x) => x.array()))) as [
      number[][],
      number[][],
      number[][],
      number[][],
    ];
    const dot = (a: number[], b: number[]): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);
    return states.map((state, p) =>
      Math.sqrt(head.reduce((sum, row, v) => sum + (dot(row, state) - dot(baseHead[v]!, baseStates[p]!)) ** 2, 0)),
    );
  }

  it('is || W u - W0 u0 || by hand: W = (1 0; 0 2; 1 1), u - u0 = (1, 2) gives |(1, 4, 3)| = sqrt(26)', async () => {
    const head = tf.tensor2d([1, 0, 0, 2, 1, 1], [3, 2]);
    const delta = contributionDelta(tf.tensor2d([4, 7], [1, 2]), tf.tensor2d([3, 5], [1, 2]), headGram(head));
    expect((await delta.data())[0]).toBeCloseTo(Math.sqrt(26), 5);
  });

  it('equals the way through the vocabulary, with the base’s head and with one that was trained', async () => {
    // More rows than one slice has.
    const [base, states, before] = [random(20_000, 8), random(5, 8), random(5, 8)];
    for (const head of [base, tf.add(base, tf.mul(random(20_000, 8), 0.05))] as tf.Tensor2D[]) {
      const gram = headGram(head, head === base ? undefined : base);
      const found = await contributionDelta(states, before, gram).data();
      const wanted = await throughVocabulary(head, states, base, before);
      wanted.forEach((value, p) => expect(found[p]! / value).toBeCloseTo(1, 4));
    }
  });

  it('keeps its digits when states have hardly moved, and is zero when nothing has', async () => {
    const [head, before] = [random(500, 8), random(3, 8)];
    const states = tf.add(before, tf.mul(random(3, 8), 1e-4)) as tf.Tensor2D;
    const found = await contributionDelta(states, before, headGram(head)).data();
    const wanted = await throughVocabulary(head, states, head, before);
    wanted.forEach((value, p) => expect(found[p]! / value).toBeCloseTo(1, 3));
    expect([...(await contributionDelta(before, before, headGram(head)).data())]).toEqual([0, 0, 0]);
    const same = headGram(head, tf.clone(head));
    expect([...(await contributionDelta(before, before, same).data())]).toEqual([0, 0, 0]);
  });

  it('leaks no tensor', () => {
    const [head, base, states] = [random(50, 4), random(50, 4), random(2, 4)];
    const before = tf.memory().numTensors;
    const { head: gram, moved } = headGram(head, base);
    tf.dispose([gram, moved!.across, moved!.change, contributionDelta(states, states, { head: gram })]);
    expect(tf.memory().numTensors).toBe(before);
  });
});
