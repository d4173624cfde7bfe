import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { Rng } from '@plumbline/shared/rng';
import { assetPath } from '../../asset.js';
import { nativeIsSetUp } from '../../backend/native-setup.js';
import { selectBackend } from '../../backend/select-backend.js';
import { Programs } from '../../runtime/program.js';
import { withGradient } from '../../runtime/with-gradient.js';
import { gelu, geluTanh, quickGelu, siluGate } from './activations.js';
import { attention, type AttentionOptions } from './attention.js';
import { gatherRows } from './gather-rows.js';
import { crossEntropy, distillation } from './losses.js';
import { layerNorm, rmsNorm } from './norms.js';
import { inverseFrequencies, rotary, rotaryAngles, rotaryTables } from './rotary.js';
import { textConfiguration } from './text-configuration.js';

/* Hand-written gradients are compared with those that tfjs derives from the plain formula. */

const rng = new Rng(3);
function random<R extends tf.Rank>(...shape: number[]): tf.Tensor<R> {
  const values: tf.Tensor = tf.tensor(
    Array.from({ length: tf.util.sizeFromShape(shape) }, () => rng.normal()),
    shape,
  );
  return values as tf.Tensor<R>;
}

async function farthest(a: tf.Tensor, b: tf.Tensor): Promise<number> {
  expect(a.shape).toEqual(b.shape);
  return (await tf.max(tf.abs(tf.sub(a, b))).data())[0]!;
}

/** Value and gradients of f are those of g, for a random gradient of their value. */
async function expectSame(
  f: (...inputs: tf.Tensor[]) => tf.Tensor,
  g: (...inputs: tf.Tensor[]) => tf.Tensor,
  inputs: tf.Tensor[],
): Promise<void> {
  const dy = random(...g(...inputs).shape);
  const [got, wanted] = [f, g].map((h) => tf.valueAndGrads(h)(inputs, dy)) as [Both, Both];
  expect(await farthest(got.value, wanted.value)).toBeLessThan(1e-5);
  for (const [i, gradient] of got.grads.entries())
    expect(await farthest(gradient, wanted.grads[i]!), `gradient ${i}`).toBeLessThan(2e-5);
}
type Both = { value: tf.Tensor; grads: tf.Tensor[] };

/** Bytes that the forward pass of f keeps for the backward pass. */
function keptBytes(f: (...inputs: tf.Tensor[]) => tf.Tensor, inputs: tf.Tensor[]): number {
  let bytes = 0;
  const before = tf.memory().numBytes;
  const counted = (...all: tf.Tensor[]): tf.Tensor =>
    withGradient(
      ([y]) => {
        const value = tf.clone(y!);
        const gradFunc = (dy: tf.Tensor): tf.Tensor => ((bytes = tf.memory().numBytes - before), tf.clone(dy));
        return { value, gradFunc };
      },
      f(...all),
    );
  tf.dispose(tf.valueAndGrads(counted)(inputs));
  return bytes;
}

// One native backend per process; WASM beside it.
const backends = nativeIsSetUp('@tensorflow/tfjs-node') ? (['tensorflow', 'wasm'] as const) : (['wasm'] as const);

describe.each(backends)('layers on %s', (backend) => {
  beforeAll(async () => {
    await selectBackend({ prefer: backend });
  });

  it('rmsNorm and layerNorm', async () => {
    const [x, weight, bias] = [random<tf.Rank.R2>(5, 8), random<tf.Rank.R1>(8), random<tf.Rank.R1>(8)];
    await expectSame(
      (x, weight) => rmsNorm(x as tf.Tensor2D, weight as tf.Tensor1D, 1e-5),
      (x, weight) => tf.mul(tf.div(x, tf.sqrt(tf.add(tf.mean(tf.square(x), 1, true), 1e-5))), weight),
      [x, weight],
    );
    const plain = (x: tf.Tensor, weight: tf.Tensor, bias: tf.Tensor): tf.Tensor => {
      const centred = tf.sub(x, tf.mean(x, 1, true));
      const deviation = tf.sqrt(tf.add(tf.mean(tf.square(centred), 1, true), 1e-5));
      return tf.add(tf.mul(tf.div(centred, deviation), weight), bias);
    };
    await expectSame(
      (x, weight, bias) => layerNorm(x as tf.Tensor2D, weight as tf.Tensor1D, bias as tf.Tensor1D, 1e-5),
      plain,
      [x, weight, bias],
    );
  });

  it('activations', async () => {
    const [x, up] = [random<tf.Rank.R2>(6, 5), random<tf.Rank.R2>(6, 5)];
    const unary = (f: (x: tf.Tensor2D) => tf.Tensor, g: (x: tf.Tensor) => tf.Tensor): Promise<void> =>
      expectSame((x) => f(x as tf.Tensor2D), g, [x]);
    await unary(quickGelu, (x) => tf.mul(x, tf.sigmoid(tf.mul(x, 1.702))));
    await unary(gelu, (x) => tf.mul(x, tf.mul(0.5, tf.add(1, tf.erf(tf.div(x, Math.sqrt(2)))))));
    await unary(geluTanh, (x) => {
      const inner = tf.mul(Math.sqrt(2 / Math.PI), tf.add(x, tf.mul(0.044715, tf.mul(x, tf.square(x)))));
      return tf.mul(tf.mul(0.5, x), tf.add(1, tf.tanh(inner)));
    });
    await expectSame(
      (gate, up) => siluGate(gate as tf.Tensor2D, up as tf.Tensor2D),
      (gate, up) => tf.mul(tf.mul(gate, tf.sigmoid(gate)), up),
      [x, up],
    );
    // torch.nn.functional.gelu, without and with approximate='tanh'
    const at = tf.tensor2d([[-1.5, -0.1, 0.7, 3]]);
    const exact = tf.tensor2d([[-0.1002108, -0.0460172, 0.5306255, 2.9959498]]);
    const approximate = tf.tensor2d([[-0.1004284, -0.0460170, 0.5305702, 2.9963627]]); // prettier-ignore
    expect(await farthest(gelu(at), exact)).toBeLessThan(2e-6);
    expect(await farthest(geluTanh(at), approximate)).toBeLessThan(2e-6);
  });

  it('rotary', async () => {
    const angles = rotaryAngles([[0, 1, 2, 0, 5, 9]], inverseFrequencies(4, { theta: 100 }));
    const [cos, sin] = [tf.tensor3d(angles.cos, [2, 3, 4]), tf.tensor3d(angles.sin, [2, 3, 4])];
    const plain = (x: tf.Tensor): tf.Tensor => {
      const [a, b] = tf.split(x, 2, 3);
      return tf.add(tf.mul(x, tf.expandDims(cos, 1)), tf.mul(tf.concat([tf.neg(b!), a!], 3), tf.expandDims(sin, 1)));
    };
    await expectSame((x) => rotary(x as tf.Tensor4D, rotaryTables(cos, sin)), plain, [random(2, 3, 3, 4)]);
  });

  it('gathers rows; a row taken twice gets both gradients', async () => {
    const index = tf.tensor1d([2, 0, 2, 2], 'int32');
    const oneHot = tf.cast(tf.oneHot(index, 3), 'float32');
    await expectSame((x) => gatherRows(x as tf.Tensor2D, index), (x) => tf.matMul(oneHot, x), [random(3, 4)]); // prettier-ignore
  });

  it('crossEntropy, also of very large logits and with padding', async () => {
    const targets = tf.tensor1d([1, 0, 4, 0], 'int32');
    const weights = tf.tensor1d([0.5, 0.25, 0.25, 0]);
    const oneHot = tf.cast(tf.oneHot(targets, 5), 'float32');
    const plain = (logits: tf.Tensor): tf.Tensor =>
      tf.neg(tf.sum(tf.mul(tf.sum(tf.mul(tf.logSoftmax(logits as tf.Tensor2D), oneHot), 1), weights)));
    await expectSame((logits) => crossEntropy(logits as tf.Tensor2D, targets, weights), plain, [random(4, 5)]);
    const large = tf.mul(random(4, 5), 1000);
    const { value, grad } = tf.valueAndGrad((x: tf.Tensor) => crossEntropy(x as tf.Tensor2D, targets, weights))(large);
    expect(Number.isFinite((await value.data())[0])).toBe(true);
    expect([...(await grad.data())].every(Number.isFinite)).toBe(true);
  });

  it('distillation', async () => {
    const [wanted, weights] = [random<tf.Rank.R2>(3, 5), tf.tensor1d([0.5, 0.5, 0])];
    const plain = (logits: tf.Tensor): tf.Tensor => {
      const [teacher, student] = [wanted, logits].map((x) => tf.logSoftmax(tf.div(x, 2))) as [tf.Tensor, tf.Tensor];
      return tf.mul(4, tf.sum(tf.mul(tf.sum(tf.mul(tf.exp(teacher), tf.sub(teacher, student)), 1), weights)));
    };
    await expectSame((logits) => distillation(logits as tf.Tensor2D, wanted, weights, 2), plain, [random(3, 5)]);
  });

  describe('attention', () => {
    const [batch, heads, keyHeads, size] = [2, 4, 2, 3];
    /** Softmax over all keys, with keys repeated for each head. */
    const plain =
      (mask?: tf.Tensor) =>
      (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor => {
        const repeated = (x: tf.Tensor): tf.Tensor =>
          tf.reshape(tf.stack([x, x], 2), [batch, heads, x.shape[2]!, size]);
        const scores = tf.mul(tf.matMul(q, repeated(k), false, true), 1 / Math.sqrt(size));
        return tf.matMul(tf.softmax(mask ? tf.add(scores, mask) : scores), repeated(v));
      };
    const ahead = (queries: number, keys: number): tf.Tensor2D =>
      tf.tensor2d(
        Array.from({ length: queries }, (_, i) =>
          Array.from({ length: keys }, (_, j) => (j > keys - queries + i ? -1e9 : 0)),
        ),
      );
    const inputs = (queries: number, keys: number): tf.Tensor[] => [
      random(batch, heads, queries, size),
      random(batch, keyHeads, keys, size),
      random(batch, keyHeads, keys, size),
    ];
    const attend =
      (options: AttentionOptions) =>
      (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor): tf.Tensor =>
        attention(q as tf.Tensor4D, k as tf.Tensor4D, v as tf.Tensor4D, options);

    it.each([undefined, 1, 3, 7])('in blocks of %s: both ways, causal, behind earlier keys, masked', async (size) => {
      const block = size !== undefined && { block: size };
      await expectSame(attend({ ...block }), plain(), inputs(7, 7));
      await expectSame(attend({ ...block, causal: true }), plain(ahead(7, 7)), inputs(7, 7));
      await expectSame(attend({ ...block, causal: true }), plain(ahead(4, 7)), inputs(4, 7));
      const hides = tf.mul(tf.cast(tf.greater(random(batch, 1, 5, 7), 0.7), 'float32'), -1e9);
      await expectSame(attend({ ...block, mask: hides }), plain(hides), inputs(5, 7));
      const keys = tf.mul(tf.cast(tf.greater(random(batch, 1, 1, 7), 0.7), 'float32'), -1e9);
      await expectSame(attend({ ...block, mask: keys }), plain(keys), inputs(5, 7));
      await expectSame(attend({ ...block, scale: 0.3 }), (q, k, v) => plain()(tf.mul(q, 0.3 * Math.sqrt(3)), k, v), inputs(5, 7)); // prettier-ignore
    });

    it('gives the same in a compiled function', async () => {
      const given = inputs(7, 7);
      const dy = random(batch, heads, 7, size);
      const [wanted, got] = [undefined, 3].map((block) => {
        const both = (): tf.NamedTensorMap => {
          const { value, grads } = tf.valueAndGrads(attend({ causal: true, ...(block && { block }) }))(given, dy);
          return { value, q: grads[0]!, k: grads[1]!, v: grads[2]! };
        };
        return block ? new Programs().run('attention', [...given, dy], [], both) : both();
      }) as [tf.NamedTensorMap, tf.NamedTensorMap];
      for (const [name, tensor] of Object.entries(wanted))
        expect(await farthest(got[name]!, tensor), name).toBeLessThan(2e-5);
    });

    it('keeps no scores when it takes blocks', () => {
      const given = inputs(128, 128);
      const all = keptBytes(attend({ causal: true }), given);
      const blocks = keptBytes(attend({ causal: true, block: 16 }), given);
      const scores = batch * heads * 128 * 128 * 4;
      expect(all).toBeGreaterThan(scores);
      expect(blocks).toBeLessThan(scores / 4);
    });
  });
});

describe('rotary angles', () => {
  const { positions, rope } = JSON.parse(readFileSync(assetPath('models/fixtures/rope.json'), 'utf8')) as {
    positions: number[];
    rope: { config: { rope_parameters: { rope_type: string } }; cos: number[]; sin: number[] }[];
  };
  it.each(rope)('are those of transformers: $config.rope_parameters.rope_type', ({ config, cos, sin }) => {
    const { headSize, rope } = textConfiguration(config);
    const angles = rotaryAngles([positions], inverseFrequencies(headSize, rope));
    const apart = (a: Float32Array, b: number[]): number => Math.max(...b.map((value, i) => Math.abs(value - a[i]!)));
    // The last bit of an angle of 8191 radians is 5e-4.
    expect(Math.max(apart(angles.cos, cos), apart(angles.sin, sin))).toBeLessThan(1e-3);
    expect(angles.cos).toHaveLength(cos.length);
  });

  it('follow an axis for each section of the frequencies', () => {
    const frequencies = inverseFrequencies(8, { theta: 100 });
    const { cos } = rotaryAngles([[1], [2], [3]], frequencies, [1, 1, 2]);
    const wanted = [1, 2, 3, 3].map((position, i) => Math.cos(position * frequencies[i]!));
    expect([...cos]).toEqual([...wanted, ...wanted].map((value) => expect.closeTo(value, 6) as number));
    expect(() => rotaryAngles([[1], [2]], frequencies, [1, 1])).toThrow(/sections 1, 1 .* 4/);
  });
});
