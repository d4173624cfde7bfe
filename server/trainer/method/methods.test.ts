import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { metrics } from '@plumbline/shared/metric';
import { canTrain, recipes, type Recipe } from '@plumbline/shared/built-in/recipe';
import { resolveSelection } from '@plumbline/shared/selection';
import { assetPath } from '../asset.js';
import { nativeIsSetUp } from '../backend/native-setup.js';
import { selectBackend } from '../backend/select-backend.js';
import { maskedDistillation } from '../model/layers.js';
import { ModelConfig, parameterShapes, type HostTensor } from '../model/model-config.js';
import { VisionLanguageModel, type ModelBatch } from '../model/vision-language-model.js';
import { readSafetensors } from '../safetensors.js';
import { compiled } from './compiled.js';
import { lora, mergedWeights } from './lora.js';
import { lwf } from './lwf.js';
import type { Method } from './method.js';
import { mixtureOfExperts } from './mixture-of-experts.js';
import { interpolate, wiseFt } from './wise-ft.js';

/*
 * Compared with PyTorch: model/fixtures/make-method-fixture.py wrote added weights, logits, loss and gradients, for
 * LoRA with Hugging Face PEFT. Tolerance as for the model itself: 2e-5 absolute for values of about 1 in single
 * precision.
 */
const tolerance = 2e-5;
const readFixture = (name: string): Map<string, HostTensor> =>
  readSafetensors(readFileSync(assetPath(`model/fixtures/${name}.safetensors`))).tensors;
const inputs = readFixture('fixture');
const fixture = readFixture('method-fixture');
const facts = JSON.parse(readFileSync(assetPath('model/fixtures/method-fixture.json'), 'utf8')) as {
  lora: { rank: number; alpha: number };
  lwf: { weight: number; temperature: number };
  experts: number;
  lora_loss: number;
  lwf_loss: number;
  lwf_distillation: number;
  moe_loss: number;
};
const { config: plain } = JSON.parse(readFileSync(assetPath('model/fixtures/fixture.json'), 'utf8')) as {
  config: unknown;
};
const config = ModelConfig.parse(plain);
const part = (of: ReadonlyMap<string, HostTensor>, prefix: string): Map<string, HostTensor> =>
  new Map([...of].flatMap(([name, tensor]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), tensor]] : [])));
const base = { config, weights: part(inputs, 'weight/') };

function farthest(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  expect(got.length).toBe(wanted.length);
  let most = 0;
  for (let i = 0; i < got.length; i++) most = Math.max(most, Math.abs(got[i]! - wanted[i]!));
  return most;
}
const names = (method: Method, recipe: Recipe): string[] => {
  const resolved = resolveSelection({ kind: 'recipe', recipe }, method.model.describe());
  if (!resolved.ok) throw new Error(resolved.reason);
  return resolved.trainable;
};

describe('methods', () => {
  let batch: ModelBatch;
  let baseLogits: Float32Array;
  beforeAll(async () => {
    await selectBackend({ prefer: nativeIsSetUp('@tensorflow/tfjs-node') ? 'tensorflow' : 'wasm' });
    const floats = (name: string): tf.Tensor => tf.tensor(inputs.get(name)!.data, inputs.get(name)!.shape);
    batch = {
      images: floats('images') as tf.Tensor4D,
      inputIds: tf.cast(floats('ids'), 'int32') as tf.Tensor2D,
      targetIds: tf.cast(floats('targets'), 'int32') as tf.Tensor2D,
      lossMask: floats('mask') as tf.Tensor2D,
    };
    baseLogits = await logits(VisionLanguageModel.fromTensors(config, base.weights));
  });
  const logits = async (model: VisionLanguageModel): Promise<Float32Array> =>
    (await model.forward(batch).data()) as Float32Array;

  /** Logits, loss and gradients of all trained parameters equal PyTorch's, and there are no other gradients. */
  async function compare(method: Method, word: string, loss: number, trainable: string[]): Promise<void> {
    expect(farthest(await logits(method.model), fixture.get(`${word}/logits`)!.data)).toBeLessThan(tolerance);
    const gradients = part(fixture, `${word}/gradient/`);
    for (const way of [method, compiled(method)]) {
      const result = way.lossAndGradients(batch, trainable);
      expect((await result.loss.data())[0]).toBeCloseTo(loss, 4);
      expect([...result.gradients.keys()].sort()).toEqual([...gradients.keys()].sort());
      for (const [name, { data, shape }] of gradients) {
        expect(result.gradients.get(name)!.shape, name).toEqual(shape);
        expect(farthest(await result.gradients.get(name)!.data(), data), name).toBeLessThan(tolerance);
      }
    }
  }
  /** Moves a method's added parameters away from their initial values, so that they have an effect. */
  function disturb({ model }: Method): void {
    for (const { name, fixed } of model.describe().parameters)
      if (!fixed) model.parameters.parameter(name).assign(tf.add(model.parameters.get(name), 0.05));
  }
  /** Checks the recipes' names, and that everything else of the model is fixed. */
  function expectFixed(method: Method): void {
    const free = method.model.describe().parameters.filter(({ fixed }) => !fixed);
    expect(free.map(({ name }) => name)).toEqual(names(method, 'full'));
    expect(free.some(({ name }) => base.weights.has(name))).toBe(false);
  }

  describe('LoRA', () => {
    const adapted = (): Method => lora(base, facts.lora, 1);

    it('starts as the base exactly, with A drawn as PEFT draws it and B zero', async () => {
      const { model } = adapted();
      expect(await logits(model)).toEqual(baseLogits);
      for (const [name, { data, shape }] of await model.toTensors()) {
        if (name.includes('.lora_B.')) expect(data.every((value) => value === 0)).toBe(true);
        if (!name.includes('.lora_A.')) continue;
        const bound = 1 / Math.sqrt(shape[1]!);
        const sizes = data.map(Math.abs);
        expect(Math.max(...sizes)).toBeLessThanOrEqual(bound);
        expect(Math.max(...sizes)).toBeGreaterThan(0.8 * bound);
      }
      expect(
        (await lora(base, facts.lora, 2).model.toTensors()).get('language_model.layers.0.mlp.up_proj.lora_A.weight'),
      ).not.toEqual((await model.toTensors()).get('language_model.layers.0.mlp.up_proj.lora_A.weight'));
    });

    it('gives the logits, loss and gradients of Hugging Face PEFT', async () => {
      const method = adapted();
      method.model.assign(part(fixture, 'lora/weight/'));
      await compare(method, 'lora', facts.lora_loss, names(method, 'full'));
    });

    it('merges like PEFT, into a plain model with the same logits up to rounding', async () => {
      const { model } = adapted();
      model.assign(part(fixture, 'lora/weight/'));
      const weights = await mergedWeights(model);
      for (const [name, { data }] of part(fixture, 'lora/merged/'))
        expect(farthest(weights.get(name)!.data, data), name).toBeLessThan(1e-6);
      // As in PEFT, an unmerged adapter is a product of its own.
      expect(
        farthest(await logits(VisionLanguageModel.fromTensors(config, weights)), await logits(model)),
      ).toBeLessThan(1e-5);
    });

    it('lets a selection choose adapters by projection, and keeps everything else', () => {
      const method = adapted();
      expectFixed(method);
      expect(names(method, 'mlp_down')).toEqual(
        [0, 1].flatMap((layer) =>
          ['A', 'B'].map((ab) => `language_model.layers.${layer}.mlp.down_proj.lora_${ab}.weight`),
        ),
      );
      expect(names(method, 'sa_proj')).toHaveLength(2 * 4 * 2);
      const select = (selection: Parameters<typeof resolveSelection>[0]): unknown =>
        resolveSelection(selection, method.model.describe());
      expect(select({ kind: 'recipe', recipe: 'projector' })).toMatchObject({ ok: false });
      expect(select({ kind: 'groups', groups: ['language_model.norm'] })).toMatchObject({
        reason: expect.stringMatching(/keeps "language_model.norm" as it is/),
      });
    });
  });

  describe('LwF', () => {
    const distilled = (): Method => lwf(base, facts.lwf);

    it('gives the logits, loss, its parts and the gradients of PyTorch', async () => {
      const method = distilled();
      method.model.assign(part(fixture, 'lwf/weight/'));
      await compare(method, 'lwf', facts.lwf_loss, method.model.parameters.names);
      const { parts } = method.lossAndGradients(batch, ['lm_head.weight']);
      const values = [...parts].map(([name, value]) => [name, value.dataSync()[0]!] as const);
      expect(values.map(([name]) => name)).toEqual([metrics.taskLoss, metrics.distillationLoss]);
      expect(values[1]![1]).toBeCloseTo(facts.lwf_distillation, 5);
      expect(values[0]![1] + values[1]![1]).toBeCloseTo(facts.lwf_loss, 5);
    });

    it('adds no loss while the model is the base', async () => {
      const { parts } = distilled().lossAndGradients(batch, []);
      expect((await parts.get(metrics.distillationLoss)!.data())[0]).toBe(0);
    });

    it('is T^2 KL(teacher || student) by hand: 4 (3/4 ln(3/4 / 1/2) + 1/4 ln(1/4 / 1/2)) at T = 2', async () => {
      // Softened by 2, logits (2 ln 3, 0) are (3/4, 1/4) and (0, 0) are (1/2, 1/2). The second row is masked.
      const teacher = tf.tensor2d([2 * Math.log(3), 0, 5, 0], [2, 2]);
      const student = tf.tensor2d([0, 0, 0, 7], [2, 2]);
      const of = (logits: tf.Tensor): tf.Scalar =>
        maskedDistillation(logits as tf.Tensor2D, teacher, tf.tensor1d([1, 0]), 2);
      const wanted = 4 * (0.75 * Math.log(0.75 / 0.5) + 0.25 * Math.log(0.25 / 0.5));
      expect((await of(student).data())[0]).toBeCloseTo(wanted, 6);
      // T (student - teacher): 2 (1/2 - 3/4) and 2 (1/2 - 1/4).
      expect(farthest(await tf.grad(of)(student).data(), [-0.5, 0.5, 0, 0])).toBeLessThan(1e-6);
    });

    it('agrees with central differences of its own loss', async () => {
      const method = distilled();
      method.model.assign(part(fixture, 'lwf/weight/'));
      const name = 'language_model.layers.1.mlp.up_proj.weight';
      const gradient = await method.lossAndGradients(batch, [name]).gradients.get(name)!.data<'float32'>();
      const at = gradient.reduce((best, value, i) => (Math.abs(value) > Math.abs(gradient[best]!) ? i : best), 0);
      const weights = part(fixture, 'lwf/weight/').get(name)!;
      const lossAt = async (shift: number): Promise<number> => {
        const data = Float32Array.from(weights.data);
        data[at]! += shift;
        method.model.assign(new Map([[name, { ...weights, data }]]));
        return (await method.lossAndGradients(batch, []).loss.data())[0]!;
      };
      expect(((await lossAt(0.01)) - (await lossAt(-0.01))) / 0.02 / gradient[at]!).toBeCloseTo(1, 2);
    });

    it('leaks no tensor', () => {
      const method = distilled();
      const once = (): number => {
        const { loss, parts, gradients } = method.lossAndGradients(batch, ['lm_head.weight']);
        tf.dispose([loss, ...parts.values(), ...gradients.values()]);
        return tf.memory().numTensors;
      };
      expect(once()).toBe(once());
    });
  });

  describe('WiSE-FT', () => {
    it('evaluates exactly the base at 0 and the trained model at 1, and restores the trained one bit for bit', async () => {
      const method = wiseFt(base, { weights: [0, 0.5, 1] });
      const trained = part(fixture, 'lwf/weight/');
      method.model.assign(trained);
      const seen: Map<string, HostTensor>[] = [];
      const weights: number[] = [];
      const ask = async (model: VisionLanguageModel): Promise<Record<string, string>> => {
        seen.push(await model.toTensors());
        return { colour: '1' };
      };
      for await (const { weight, right } of method.evaluateBeside!(ask)) {
        weights.push(weight);
        expect(right).toEqual({ colour: '1' });
      }
      expect(weights).toEqual([0, 0.5, 1]);
      expect(seen[0]).toEqual(base.weights);
      expect(seen[2]).toEqual(await method.model.toTensors());
      expect(await method.model.toTensors()).toEqual(trained);
    });

    it('restores the trained weights when an evaluation fails', async () => {
      const method = wiseFt(base, { weights: [0.5] });
      const trained = part(fixture, 'lwf/weight/');
      method.model.assign(trained);
      const fail = (): Promise<never> => Promise.reject(new Error('no memory'));
      await expect(async () => {
        for await (const { weight } of method.evaluateBeside!(fail)) expect(weight).toBeUndefined();
      }).rejects.toThrow('no memory');
      expect(await method.model.toTensors()).toEqual(trained);
    });

    it('is (1 - w) base + w now', () => {
      const one = (...data: number[]): Map<string, HostTensor> =>
        new Map([['a', { shape: [data.length], data: Float32Array.from(data) }]]);
      expect(interpolate(one(1, -2), one(3, 2), 0.25)).toEqual(one(1.5, -1));
    });
  });

  describe('mixture of experts', () => {
    const mixed = (): Method => mixtureOfExperts(base, { experts: facts.experts }, 1);

    it('starts with copies of the base’s MLP, so it answers as the base does', async () => {
      const { model } = mixed();
      const weights = await model.toTensors();
      expect(weights.get('language_model.layers.1.mlp.experts.1.down_proj.weight')).toEqual(
        weights.get('language_model.layers.1.mlp.down_proj.weight'),
      );
      expect(farthest(await logits(model), baseLogits)).toBeLessThan(tolerance);
    });

    it('gives the logits, loss and gradients of PyTorch', async () => {
      const method = mixed();
      method.model.assign(part(fixture, 'moe/weight/'));
      await compare(method, 'moe', facts.moe_loss, names(method, 'full'));
    });

    it('gives initially equal experts different gradients, so that they diverge', async () => {
      const of = (expert: number): string => `language_model.layers.0.mlp.experts.${expert}.down_proj.weight`;
      const { gradients } = mixed().lossAndGradients(batch, [of(0), of(1)]);
      expect(await gradients.get(of(0))!.data()).not.toEqual(await gradients.get(of(1))!.data());
    });

    it('lets recipes choose among the experts’ projections, and keeps everything else', () => {
      const method = mixed();
      expectFixed(method);
      const projections = (recipe: Recipe): string[] => [
        ...new Set(names(method, recipe).map((name) => name.replace(/^.*mlp\.(experts\.\d\.)?/, ''))),
      ];
      expect(projections('mlp_gate_up')).toEqual(['gate_proj.weight', 'up_proj.weight']);
      expect(projections('mlp_down')).toEqual(['down_proj.weight']);
      expect(names(method, 'mlp')).toEqual(names(method, 'full'));
      expect(projections('mlp')).toContain('router.weight');
      expect(() => names(method, 'sa_proj')).toThrow(/hits no parameter that this run can train/);
    });
  });

  it.each([
    ['LoRA', (): Method => lora(base, facts.lora, 1)],
    ['experts', (): Method => mixtureOfExperts(base, { experts: 2 }, 1)],
  ])('%s: greedy decoding is the same with and without the key/value cache', async (_, make) => {
    const method = make();
    disturb(method);
    const prompts = [
      [1, 2, 3],
      [4, 5, 6],
      [19, 18, 17],
    ];
    const write = (useCache: boolean): Promise<number[][]> =>
      method.model.generate(batch.images, prompts, { maxNewTokens: 5, endId: 0, useCache });
    expect(await write(true)).toEqual(await write(false));
    expect(await logits(method.model)).not.toEqual(baseLogits);
  });

  it('accepts a recipe only if it selects something', () => {
    for (const [settings, method] of [
      [{ kind: 'fine_tuning' }, wiseFt(base, { weights: [0.5] })],
      [{ kind: 'lora', rank: 2, alpha: 4 }, lora(base, facts.lora, 1)],
      [{ kind: 'mixture_of_experts', experts: 2 }, mixtureOfExperts(base, { experts: 2 }, 1)],
    ] as const) {
      const model = method.model.describe();
      expect(model.recipes.map(({ name }) => name)).toEqual(recipes);
      for (const recipe of recipes)
        expect([settings.kind, recipe, resolveSelection({ kind: 'recipe', recipe }, model).ok]).toEqual([
          settings.kind,
          recipe,
          canTrain(settings, recipe),
        ]);
    }
  });

  it('refuses a base that lacks a weight instead of drawing one', () => {
    const weights = new Map([...base.weights].filter(([name]) => name !== 'lm_head.weight'));
    expect(() => lora({ config, weights }, facts.lora, 1)).toThrow(/lack lm_head.weight/);
  });

  it('draws the same for a seed, and a plain model has no added weights', async () => {
    const twice = [lora(base, facts.lora, 5), lora(base, facts.lora, 5)];
    expect(await twice[0]!.model.toTensors()).toEqual(await twice[1]!.model.toTensors());
    expect(parameterShapes(config).some(({ fixed }) => fixed)).toBe(false);
  });
});
