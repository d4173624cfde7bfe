import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { AdamW } from '../optim/adamw.js';
import { assetPath } from '../asset.js';
import { nativeIsSetUp } from '../backend/native-setup.js';
import { selectBackend } from '../backend/select-backend.js';
import { contributions, contributionShift } from '../probe/contribution.js';
import { readSafetensors } from '../safetensors.js';
import { ModelConfig } from './model-config.js';
import { VisionLanguageModel, type HostTensor, type ModelBatch } from './vision-language-model.js';

/*
 * Compared with PyTorch: fixtures/make-fixture.py wrote weights, inputs, logits, loss and gradients of its own model.
 * Tolerance: 2e-5 absolute for values of about 1 in single precision over some ten layers.
 */
const tolerance = 2e-5;
const facts = JSON.parse(readFileSync(assetPath('model/fixtures/fixture.json'), 'utf8')) as {
  config: unknown;
  settings: {
    learningRate: number;
    weightDecay: number;
    beta1: number;
    beta2: number;
    epsilon: number;
    maxGradientNorm: number;
  };
  loss: number;
  losses: number[];
  norms: number[];
  trained: string[][];
  contribution: { numbers: number[]; change: number[]; push: number[] };
};
const config = ModelConfig.parse(facts.config);
const { tensors } = readSafetensors(readFileSync(assetPath('model/fixtures/fixture.safetensors')));
const part = (prefix: string): Map<string, HostTensor> =>
  new Map(
    [...tensors].flatMap(([name, tensor]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), tensor]] : [])),
  );
const floats = (name: string): tf.Tensor => tf.tensor(tensors.get(name)!.data, tensors.get(name)!.shape);
const integers = (name: string): tf.Tensor2D => tf.cast(floats(name), 'int32') as tf.Tensor2D;

function farthest(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  expect(got.length).toBe(wanted.length);
  let most = 0;
  for (let i = 0; i < got.length; i++) {
    const distance = Math.abs(got[i]! - wanted[i]!);
    if (!(distance <= most)) most = distance;
  }
  return most;
}

// One backend per process: CI has the native one; backends.test.ts compares WASM with it.
const backend = nativeIsSetUp('@tensorflow/tfjs-node') ? 'tensorflow' : 'wasm';

describe(`the model against its PyTorch twin, on ${backend}`, () => {
  let model: VisionLanguageModel;
  let batch: ModelBatch;
  beforeAll(async () => {
    await selectBackend({ prefer: backend });
    model = VisionLanguageModel.fromTensors(config, part('weight/'));
    batch = {
      images: floats('images') as tf.Tensor4D,
      inputIds: integers('ids'),
      targetIds: integers('targets'),
      lossMask: floats('mask') as tf.Tensor2D,
    };
  });
  afterAll(() => model?.dispose());

  it('gives the same logits and loss', async () => {
    expect(farthest(await model.forward(batch).data(), tensors.get('logits')!.data)).toBeLessThan(tolerance);
    expect((await model.loss(batch).data())[0]).toBeCloseTo(facts.loss, 5);
  });

  it('gives the same contribution of each block to the logits, and the same change of it by training', async () => {
    const asked = [...tensors.get('mask')!.data.keys()].filter((at) => tensors.get('mask')!.data[at] === 1);
    const contributionsNow = (): tf.Tensor3D =>
      tf.tidy(() => {
        const residuals = model.residuals(model.imageEmbeddings(batch.images), batch.inputIds, asked);
        return contributions(residuals, (x) => model.head(x));
      });
    const base = contributionsNow();
    expect(farthest(await base.data(), tensors.get('contribution/base')!.data)).toBeLessThan(tolerance);
    model.assign(part(`step/${facts.trained.length - 1}/`));
    const now = contributionsNow();
    model.assign(part('weight/'));
    expect(farthest(await now.data(), tensors.get('contribution/now')!.data)).toBeLessThan(tolerance);
    const { numbers, change, push } = facts.contribution;
    const shift = await contributionShift(base, now, numbers);
    expect(farthest(shift.change, change)).toBeLessThan(tolerance);
    expect(farthest(shift.numberPush, push)).toBeLessThan(tolerance);
  });

  it('gives the same logits at chosen positions as at all', async () => {
    const asked = [0, 5, 6, 17];
    const residuals = model.residuals(model.imageEmbeddings(batch.images), batch.inputIds, asked);
    expect(residuals).toHaveLength(2 * config.decoderLayers + 1);
    const all = tf.reshape(model.forward(batch), [-1, config.vocabSize]);
    expect(
      farthest(await model.head(residuals.at(-1)!).data(), await tf.gather(all, tf.tensor1d(asked, 'int32')).data()),
    ).toBeLessThan(1e-6);
  });

  it('gives the same gradient for every parameter', async () => {
    const { gradients } = model.lossAndGradients(batch, model.parameters.names);
    expect(gradients.size).toBe(part('gradient/').size);
    for (const [name, { data, shape }] of part('gradient/')) {
      const gradient = gradients.get(name)!;
      expect(gradient.shape, name).toEqual(shape);
      expect(farthest(await gradient.data(), data), name).toBeLessThan(tolerance);
    }
  });

  it('computes no gradient for frozen parameters, and the same ones for the rest', async () => {
    const trained = facts.trained[2]!;
    const { gradients } = model.lossAndGradients(batch, trained);
    expect([...gradients.keys()]).toEqual(trained);
    for (const name of trained)
      expect(farthest(await gradients.get(name)!.data(), tensors.get(`gradient/${name}`)!.data)).toBeLessThan(
        tolerance,
      );
  });

  it('agrees with central differences of its own loss', async () => {
    const name = 'language_model.layers.1.mlp.gate_proj.weight';
    const { gradients } = model.lossAndGradients(batch, [name]);
    const gradient = await gradients.get(name)!.data<'float32'>();
    const weights = (await model.toTensors()).get(name)!;
    const at = gradient.reduce((best, value, i) => (Math.abs(value) > Math.abs(gradient[best]!) ? i : best), 0);
    const lossAt = async (shift: number): Promise<number> => {
      const data = Float32Array.from(weights.data);
      data[at]! += shift;
      model.assign(new Map([[name, { ...weights, data }]]));
      return (await model.loss(batch).data())[0]!;
    };
    const numeric = ((await lossAt(0.01)) - (await lossAt(-0.01))) / 0.02;
    model.assign(new Map([[name, weights]]));
    expect(numeric / gradient[at]!).toBeCloseTo(1, 2);
  });

  it('does not depend on the padding', async () => {
    const ids = await batch.inputIds.array();
    const changed = tf.tensor2d(
      ids.map((row) => [...row.slice(0, 4), 7, 9]),
      undefined,
      'int32',
    );
    const [a, b] = [model.forward(batch), model.forward({ ...batch, inputIds: changed })];
    const start = (logits: tf.Tensor3D): tf.Tensor => tf.slice(logits, [0, 0, 0], [-1, 4, -1]);
    expect(farthest(await start(a).data(), await start(b).data())).toBe(0);
  });

  it('writes the same tokens with and without the key/value cache', async () => {
    const prompts = [
      [1, 2, 3],
      [4, 5, 6],
      [19, 18, 17],
    ];
    const options = { maxNewTokens: 5, endId: 0 };
    const cached = await model.generate(batch.images, prompts, { ...options, useCache: true });
    expect(cached).toEqual(await model.generate(batch.images, prompts, { ...options, useCache: false }));
    expect(cached.every((tokens) => tokens.length <= 5)).toBe(true);
    // Greedy decoding step by step through the plain forward pass gives the same first token.
    const logits = model.forward({ images: batch.images, inputIds: tf.tensor2d(prompts, undefined, 'int32') });
    const first = await tf.argMax(tf.slice(logits, [0, 2, 0], [-1, 1, -1]), -1).data();
    cached.forEach((tokens, i) => expect(tokens[0] ?? 0).toBe(first[i]));
  });

  it('leaks no tensor over steps and generations', async () => {
    const once = async (): Promise<void> => {
      const { loss, gradients } = model.lossAndGradients(batch, model.parameters.names);
      tf.dispose([loss, ...gradients.values()]);
      await model.generate(batch.images, [[1], [2], [3]], { maxNewTokens: 2, endId: 0 });
    };
    await once();
    const before = tf.memory().numTensors;
    await once();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('refuses weights that are missing, of another shape or unknown, by name', () => {
    const weights = part('weight/');
    const name = 'lm_head.weight';
    const shapes = { ...weights.get(name)!, shape: [1, 1] };
    expect(() => VisionLanguageModel.fromTensors(config, new Map([...weights].filter(([n]) => n !== name)))).toThrow(
      /lack lm_head.weight/,
    );
    expect(() => VisionLanguageModel.fromTensors(config, new Map([...weights, [name, shapes]]))).toThrow(
      /shape \[1,1\]/,
    );
    expect(() => VisionLanguageModel.fromTensors(config, new Map([...weights, ['more', shapes]]))).toThrow(/hold more/);
  });

  it('AdamW gives the weights of torch.optim.AdamW over freezing and unfreezing, and keeps frozen ones bit for bit', async () => {
    const { learningRate, maxGradientNorm, ...options } = facts.settings;
    const trainee = VisionLanguageModel.fromTensors(config, part('weight/'));
    const optimizer = new AdamW(options);
    let last = await trainee.toTensors();
    for (const [step, trained] of facts.trained.entries()) {
      const { loss, gradients } = trainee.lossAndGradients(batch, trained);
      const norm = optimizer.apply(trainee.parameters, gradients, learningRate, maxGradientNorm);
      expect((await loss.data())[0]).toBeCloseTo(facts.losses[step]!, 4);
      expect((await norm.data())[0]! / facts.norms[step]!).toBeCloseTo(1, 4);
      const now = await trainee.toTensors();
      for (const [name, { data }] of now) {
        // Adam divides by the root of the second moment, which magnifies rounding where a gradient is near 0.
        expect(farthest(data, tensors.get(`step/${step}/${name}`)!.data), `${name} after step ${step}`).toBeLessThan(
          2e-4,
        );
        if (!trained.includes(name)) expect(data).toEqual(last.get(name)!.data);
      }
      last = now;
      // Midway, the state moves to the host and into a new optimizer, as with a checkpoint.
      if (step === 3) {
        const state = await optimizer.state(trainee.parameters);
        expect(state.steps['lm_head.weight']).toBe(2);
        expect(state.steps['language_model.layers.0.self_attn.q_proj.weight']).toBe(4);
        optimizer.load(state);
      }
    }
  });

  it('AdamW keeps no moments for parameters that were never trained', async () => {
    const trainee = VisionLanguageModel.fromTensors(config, part('weight/'));
    const optimizer = new AdamW();
    const name = 'lm_head.weight';
    const { gradients } = trainee.lossAndGradients(batch, [name]);
    optimizer.apply(trainee.parameters, gradients, 0.01);
    expect(Object.keys((await optimizer.state(trainee.parameters)).steps)).toEqual([name]);
  });

  it('AdamW counts the bytes of all its moments', async () => {
    const trainee = VisionLanguageModel.fromTensors(config, part('weight/'));
    const optimizer = new AdamW();
    const [head, other] = ['lm_head.weight', 'language_model.layers.0.self_attn.q_proj.weight'];
    const stepOn = (names: string[]): void => {
      const { loss, gradients } = trainee.lossAndGradients(batch, names);
      tf.dispose([optimizer.apply(trainee.parameters, gradients, 0.01), loss, ...gradients.values()]);
    };
    const sizeOf = (name: string): number => trainee.parameters.parameter(name).size;
    stepOn([head, other]);
    expect(optimizer.bytes).toBe(8 * (sizeOf(head) + sizeOf(other)));
    // Frozen parameters keep their two moments.
    stepOn([other]);
    const { bytes } = optimizer;
    expect(bytes).toBe(8 * (sizeOf(other) + sizeOf(head)));
    const moments = [...(await optimizer.state(trainee.parameters)).tensors.values()];
    expect(moments.reduce((sum, { data }) => sum + data.byteLength, 0)).toBe(bytes);
    optimizer.dispose();
    expect(optimizer.bytes).toBe(0);
  });
});
