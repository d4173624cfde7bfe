import { beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { metrics } from '@plumbline/shared/metric';
import { canTrain, recipes, type Recipe } from '@plumbline/shared/built-in/recipe';
import { resolveSelection } from '@plumbline/shared/selection';
import { nativeIsSetUp } from '../backend/native-setup.js';
import { selectBackend } from '../backend/select-backend.js';
import { baseOf } from '../models/base.js';
import { buildModel } from '../models/build-model.js';
import { part, readFacts, readFixture, readTensors } from '../models/built-in/fixture.js';
import { builtInBlueprint } from '../models/built-in/modeling.js';
import { assignWeights, hostWeights } from '../models/host-weights.js';
import { distillation } from '../models/layers/losses.js';
import { noLabel, type Example, type Inputs, type Model } from '../models/model.js';
import { uploadInputs } from '../models/upload.js';
import { answersRight } from '../probes/accuracy.js';
import { Programs } from '../runtime/program.js';
import type { HostTensor } from '../safetensors.js';
import { compiled } from './compiled.js';
import { lora, mergedWeights } from './lora.js';
import { lwf } from './lwf.js';
import type { Method } from './method.js';
import { mixtureOfExperts } from './mixture-of-experts.js';
import { interpolate, wiseFt } from './wise-ft.js';

/*
 * Compared with PyTorch: models/built-in/fixtures/make-method-fixture.py wrote added weights, logits, loss and gradients, for
 * LoRA with Hugging Face PEFT. Tolerance as for the model itself: 2e-5 absolute for values of about 1 in single
 * precision.
 */
const tolerance = 2e-5;
const { config, tensors, examples, everywhere } = readFixture();
const fixture = readTensors('method-fixture');
const facts = readFacts('method-fixture') as {
  lora: { rank: number; alpha: number };
  lwf: { weight: number; temperature: number };
  experts: number;
  lora_loss: number;
  lwf_loss: number;
  lwf_distillation: number;
  moe_loss: number;
};
const baseWeights = part(tensors, 'weight/');
const base = baseOf(builtInBlueprint(config), baseWeights);

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
  let inputs: Inputs;
  let baseLogits: Float32Array;
  beforeAll(async () => {
    await selectBackend({ prefer: nativeIsSetUp('@tensorflow/tfjs-node') ? 'tensorflow' : 'wasm' });
    inputs = uploadInputs((await buildModel(base)).collate(examples));
    baseLogits = await logits(await buildModel(base));
  });
  /** Logits at every text position. */
  const logits = async (model: Model): Promise<Float32Array> => {
    const positions = everywhere.reduce((sum, { labels }) => sum + labels.filter((id) => id !== noLabel).length, 0);
    const read = tf.tidy(() => {
      const all = model.logits(model.hidden(uploadInputs(model.collate(everywhere))));
      return tf.slice(all, [0, 0], [positions, -1]);
    });
    return read.data<'float32'>();
  };

  /** Logits, loss and gradients of all trained parameters equal PyTorch's, and there are no other gradients. */
  async function compare(method: Method, word: string, loss: number, trainable: string[]): Promise<void> {
    expect(farthest(await logits(method.model), fixture.get(`${word}/logits`)!.data)).toBeLessThan(tolerance);
    const gradients = part(fixture, `${word}/gradient/`);
    for (const way of [method, compiled(method)]) {
      const result = way.lossAndGradients(inputs, trainable);
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
    expect(free.some(({ name }) => baseWeights.has(name))).toBe(false);
  }

  describe('LoRA', () => {
    const adapted = (): Promise<Method> => lora(base, facts.lora, 1);

    it('starts as the base exactly, with A drawn as PEFT draws it and B zero', async () => {
      const { model } = await adapted();
      expect(await logits(model)).toEqual(baseLogits);
      for (const [name, { data, shape }] of await hostWeights(model.parameters)) {
        if (name.includes('.lora_B.')) expect(data.every((value) => value === 0)).toBe(true);
        if (!name.includes('.lora_A.')) continue;
        const bound = 1 / Math.sqrt(shape[1]!);
        const sizes = data.map(Math.abs);
        expect(Math.max(...sizes)).toBeLessThanOrEqual(bound);
        expect(Math.max(...sizes)).toBeGreaterThan(0.8 * bound);
      }
      expect(
        (await hostWeights((await lora(base, facts.lora, 2)).model.parameters)).get(
          'language_model.layers.0.mlp.up_proj.lora_A.weight',
        ),
      ).not.toEqual((await hostWeights(model.parameters)).get('language_model.layers.0.mlp.up_proj.lora_A.weight'));
    });

    it('gives the logits, loss and gradients of Hugging Face PEFT', async () => {
      const method = await adapted();
      assignWeights(method.model.parameters, part(fixture, 'lora/weight/'));
      await compare(method, 'lora', facts.lora_loss, names(method, 'full'));
    });

    it('merges like PEFT, into a plain model with the same logits up to rounding', async () => {
      const { model } = await adapted();
      assignWeights(model.parameters, part(fixture, 'lora/weight/'));
      const merged = new Map<string, HostTensor>();
      for await (const [name, data] of mergedWeights(model))
        merged.set(name, { shape: baseWeights.get(name)!.shape, data });
      for (const [name, { data }] of part(fixture, 'lora/merged/'))
        expect(farthest(merged.get(name)!.data, data), name).toBeLessThan(1e-6);
      // As in PEFT, an unmerged adapter is a product of its own.
      const plain = await buildModel(baseOf(builtInBlueprint(config), merged));
      expect(farthest(await logits(plain), await logits(model))).toBeLessThan(1e-5);
    });

    it('lets a selection choose adapters by projection, and keeps everything else', async () => {
      const method = await adapted();
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
    const distilled = (): Promise<Method> => lwf(base, facts.lwf);

    it('gives the logits, loss, its parts and the gradients of PyTorch', async () => {
      const method = await distilled();
      assignWeights(method.model.parameters, part(fixture, 'lwf/weight/'));
      await compare(method, 'lwf', facts.lwf_loss, method.model.parameters.names);
      const { parts } = method.lossAndGradients(inputs, ['lm_head.weight']);
      const values = [...parts].map(([name, value]) => [name, value.dataSync()[0]!] as const);
      expect(values.map(([name]) => name)).toEqual([metrics.taskLoss, metrics.distillationLoss]);
      expect(values[1]![1]).toBeCloseTo(facts.lwf_distillation, 5);
      expect(values[0]![1] + values[1]![1]).toBeCloseTo(facts.lwf_loss, 5);
    });

    it('adds no loss while the model is the base', async () => {
      const { parts } = (await distilled()).lossAndGradients(inputs, []);
      expect((await parts.get(metrics.distillationLoss)!.data())[0]).toBe(0);
    });

    it('is T^2 KL(teacher || student) by hand: 4 (3/4 ln(3/4 / 1/2) + 1/4 ln(1/4 / 1/2)) at T = 2', async () => {
      // Softened by 2, logits (2 ln 3, 0) are (3/4, 1/4) and (0, 0) are (1/2, 1/2). The second row is masked.
      const teacher = tf.tensor2d([2 * Math.log(3), 0, 5, 0], [2, 2]);
      const student = tf.tensor2d([0, 0, 0, 7], [2, 2]);
      const of = (logits: tf.Tensor): tf.Scalar => distillation(logits as tf.Tensor2D, teacher, tf.tensor1d([1, 0]), 2);
      const wanted = 4 * (0.75 * Math.log(0.75 / 0.5) + 0.25 * Math.log(0.25 / 0.5));
      expect((await of(student).data())[0]).toBeCloseTo(wanted, 6);
      // T (student - teacher): 2 (1/2 - 3/4) and 2 (1/2 - 1/4).
      expect(farthest(await tf.grad(of)(student).data(), [-0.5, 0.5, 0, 0])).toBeLessThan(1e-6);
    });

    it('agrees with central differences of its own loss', async () => {
      const method = await distilled();
      assignWeights(method.model.parameters, part(fixture, 'lwf/weight/'));
      const name = 'language_model.layers.1.mlp.up_proj.weight';
      const gradient = await method.lossAndGradients(inputs, [name]).gradients.get(name)!.data<'float32'>();
      const at = gradient.reduce((best, value, i) => (Math.abs(value) > Math.abs(gradient[best]!) ? i : best), 0);
      const weights = part(fixture, 'lwf/weight/').get(name)!;
      const lossAt = async (shift: number): Promise<number> => {
        const data = Float32Array.from(weights.data);
        data[at]! += shift;
        assignWeights(method.model.parameters, new Map([[name, { ...weights, data }]]));
        return (await method.lossAndGradients(inputs, []).loss.data())[0]!;
      };
      expect(((await lossAt(0.01)) - (await lossAt(-0.01))) / 0.02 / gradient[at]!).toBeCloseTo(1, 2);
    });

    it('leaks no tensor', async () => {
      const method = await distilled();
      const once = (): number => {
        const { loss, parts, gradients } = method.lossAndGradients(inputs, ['lm_head.weight']);
        tf.dispose([loss, ...parts.values(), ...gradients.values()]);
        return tf.memory().numTensors;
      };
      expect(once()).toBe(once());
    });
  });

  describe('WiSE-FT', () => {
    it('evaluates exactly the base at 0 and the trained model at 1, and restores the trained one bit for bit', async () => {
      const method = await wiseFt(base, { weights: [0, 0.5, 1] });
      const trained = part(fixture, 'lwf/weight/');
      assignWeights(method.model.parameters, trained);
      const seen: Map<string, HostTensor>[] = [];
      const weights: number[] = [];
      const ask = async (model: Model): Promise<Record<string, string>> => {
        seen.push(await hostWeights(model.parameters));
        return { colour: '1' };
      };
      for await (const { weight, right } of method.evaluateBeside!(ask)) {
        weights.push(weight);
        expect(right).toEqual({ colour: '1' });
      }
      expect(weights).toEqual([0, 0.5, 1]);
      expect(seen[0]).toEqual(baseWeights);
      expect(seen[2]).toEqual(await hostWeights(method.model.parameters));
      expect(await hostWeights(method.model.parameters)).toEqual(trained);
    });

    it('restores the trained weights when an evaluation fails', async () => {
      const method = await wiseFt(base, { weights: [0.5] });
      const trained = part(fixture, 'lwf/weight/');
      assignWeights(method.model.parameters, trained);
      const fail = (): Promise<never> => Promise.reject(new Error('no memory'));
      await expect(async () => {
        for await (const { weight } of method.evaluateBeside!(fail)) expect(weight).toBeUndefined();
      }).rejects.toThrow('no memory');
      expect(await hostWeights(method.model.parameters)).toEqual(trained);
    });

    it('is (1 - w) base + w now', async () => {
      const between = interpolate(tf.tensor1d([1, -2]), tf.tensor1d([3, 2]), 0.25);
      expect([...(await between.data())]).toEqual([1.5, -1]);
    });
  });

  describe('mixture of experts', () => {
    const mixed = (): Promise<Method> => mixtureOfExperts(base, { experts: facts.experts }, 1);

    it('starts with copies of the base’s MLP, so it answers as the base does', async () => {
      const { model } = await mixed();
      const weights = await hostWeights(model.parameters);
      expect(weights.get('language_model.layers.1.mlp.experts.1.down_proj.weight')).toEqual(
        weights.get('language_model.layers.1.mlp.down_proj.weight'),
      );
      expect(farthest(await logits(model), baseLogits)).toBeLessThan(tolerance);
    });

    it('gives the logits, loss and gradients of PyTorch', async () => {
      const method = await mixed();
      assignWeights(method.model.parameters, part(fixture, 'moe/weight/'));
      await compare(method, 'moe', facts.moe_loss, names(method, 'full'));
    });

    it('gives initially equal experts different gradients, so that they diverge', async () => {
      const of = (expert: number): string => `language_model.layers.0.mlp.experts.${expert}.down_proj.weight`;
      const { gradients } = (await mixed()).lossAndGradients(inputs, [of(0), of(1)]);
      expect(await gradients.get(of(0))!.data()).not.toEqual(await gradients.get(of(1))!.data());
    });

    it('lets recipes choose among the experts’ projections, and keeps everything else', async () => {
      const method = await mixed();
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
    ['LoRA', (): Promise<Method> => lora(base, facts.lora, 1)],
    ['experts', (): Promise<Method> => mixtureOfExperts(base, { experts: 2 }, 1)],
  ])('%s: greedy decoding with the key/value cache gives the likeliest tokens of a whole pass', async (_, make) => {
    const method = await make();
    disturb(method);
    const prompts = everywhere.map(({ ids, pictures }): Example => {
      const asked = ids.subarray(0, ids.length - 4);
      return { ids: asked, labels: new Int32Array(asked.length).fill(noLabel), pictures };
    });
    const written = await method.model.generate(prompts, { maxNewTokens: 4, endIds: [] });
    const answered = prompts.map(({ ids, labels, pictures }, row): Example => {
      const answer = written[row]!;
      return { ids: Int32Array.of(...ids, ...answer), labels: Int32Array.of(...labels, ...answer), pictures };
    });
    expect(await answersRight(method.model, new Programs(), answered)).toEqual(prompts.map(() => true));
    expect(await logits(method.model)).not.toEqual(baseLogits);
  });

  it('accepts a recipe only if it selects something', async () => {
    for (const [settings, method] of [
      [{ kind: 'fine_tuning' }, wiseFt(base, { weights: [0.5] })],
      [{ kind: 'lora', rank: 2, alpha: 4 }, lora(base, facts.lora, 1)],
      [{ kind: 'mixture_of_experts', experts: 2 }, mixtureOfExperts(base, { experts: 2 }, 1)],
    ] as const) {
      const model = (await method).model.describe();
      expect(model.recipes.map(({ name }) => name)).toEqual(recipes);
      for (const recipe of recipes)
        expect([settings.kind, recipe, resolveSelection({ kind: 'recipe', recipe }, model).ok]).toEqual([
          settings.kind,
          recipe,
          canTrain(settings, recipe),
        ]);
    }
  });

  it('draws the same for a seed, and fixes nothing in a plain model', async () => {
    const [once, again] = [await lora(base, facts.lora, 5), await lora(base, facts.lora, 5)];
    expect(await hostWeights(once.model.parameters)).toEqual(await hostWeights(again.model.parameters));
    expect((await buildModel(base)).parameters.fixed.size).toBe(0);
  });
});
