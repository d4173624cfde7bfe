import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { Rng } from '@plumbline/shared/rng';
import { nativeIsSetUp } from '../backend/native-setup.js';
import { selectBackend } from '../backend/select-backend.js';
import { entropy, jsDivergence, klDivergence, tokenMass, topOneAgreement } from './distribution.js';
import { largestGains, massOf, shiftColumns, shiftMeasures, tokenGains } from './output-shift.js';

const backends = nativeIsSetUp('@tensorflow/tfjs-node') ? (['tensorflow', 'wasm'] as const) : (['wasm'] as const);

describe.each(backends)('the shift of outputs, on %s', (backend) => {
  beforeAll(async () => {
    await selectBackend({ prefer: backend });
  });
  const [positions, vocabulary] = [40, 300];
  const rng = new Rng(8);
  const draw = (scale: number): Float32Array =>
    Float32Array.from({ length: positions * vocabulary }, () => rng.normal() * scale);
  const first = draw(3);
  const change = draw(0.8);
  const second = first.map((value, i) => value + change[i]!);
  const logits = (values: Float32Array): tf.Tensor2D => tf.tensor2d(values, [positions, vocabulary]);
  const logSoftmax = (values: Float32Array): Float32Array => tf.logSoftmax(logits(values)).dataSync<'float32'>();

  it('equals the measures on the host', async () => {
    const [base, now] = [logSoftmax(first), logSoftmax(second)];
    const found = await tf.mean(shiftMeasures(logits(first), logits(second)), 0).data();
    const [kl, js, nats, agrees] = shiftColumns.map((_, column) => found[column]!);
    expect(kl).toBeCloseTo(klDivergence(base, now, vocabulary), 5);
    expect(js).toBeCloseTo(jsDivergence(base, now, vocabulary), 5);
    expect(nats).toBeCloseTo(entropy(now, vocabulary), 5);
    expect(agrees! * 100).toBeCloseTo(topOneAgreement(base, now, vocabulary), 3);
    const tokens = [3, 7, 200];
    const chosen = tf.tensor1d(Array.from({ length: vocabulary }, (_, token) => (tokens.includes(token) ? 1 : 0)));
    expect((await tf.mean(massOf(logits(second), chosen)).data())[0]).toBeCloseTo(
      tokenMass(now, vocabulary, tokens),
      6,
    );
  });

  it('is finite for outputs that leave no probability to other tokens, and zero for equal ones', async () => {
    const sure = tf.tensor2d([1000, 0, 0, 0, 1000, 0], [2, 3]);
    const other = tf.tensor2d([0, 1000, 0, 0, 1000, 0], [2, 3]);
    const [moved, same] = (await shiftMeasures(sure, other).array()) as [number[], number[]];
    expect(moved[0]).toBeCloseTo(1000, 2);
    expect(moved[1]).toBeCloseTo(Math.LN2, 5);
    expect(moved[3]).toBe(0);
    expect(same.map(Math.abs)).toEqual([0, 0, 0, 1]);
  });

  it('finds what gained and lost: (1/2, 1/4, 1/4) to (1/4, 1/4, 1/2) moves a quarter from the first to the last', async () => {
    const base = tf.log(tf.tensor2d([0.5, 0.25, 0.25, 0.5, 0.25, 0.25], [2, 3])) as tf.Tensor2D;
    const now = tf.log(tf.tensor2d([0.25, 0.25, 0.5, 0.5, 0.25, 0.25], [2, 3])) as tf.Tensor2D;
    const { gained, lost } = await largestGains(tokenGains(base, now), 2, 50);
    expect(gained[0]).toEqual({ token: 2, gain: expect.closeTo(0.125, 6) });
    expect(lost[0]).toEqual({ token: 0, gain: expect.closeTo(-0.125, 6) });
    const moved = [...gained, ...lost].filter(({ gain }) => Math.abs(gain) > 1e-6);
    expect(moved).toHaveLength(2);
  });

  it('names at most the asked number of tokens, largest first', async () => {
    const gains = tf.tensor1d([0.1, -0.4, 0.3, 0, -0.2, 0.2]);
    const { gained, lost } = await largestGains(gains, 1, 2);
    expect(gained.map(({ token }) => token)).toEqual([2, 5]);
    expect(lost.map(({ token }) => token)).toEqual([1, 4]);
  });
});
