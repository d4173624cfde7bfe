import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { nativeIsSetUp } from '../../backend/native-setup.js';
import { selectBackend } from '../../backend/select-backend.js';
import { lossAndGradients } from '../../methods/fine-tuning.js';
import { AdamW } from '../../optim/adamw.js';
import { answersRight } from '../../probes/accuracy.js';
import { contributions, contributionShift } from '../../probes/contribution.js';
import { Programs } from '../../runtime/program.js';
import { baseOf } from '../base.js';
import { buildModel } from '../build-model.js';
import { assignWeights, hostWeights } from '../host-weights.js';
import { noLabel, type Example, type Inputs, type Model } from '../model.js';
import { uploadInputs } from '../upload.js';
import { part, readFixture } from './fixture.js';
import { builtInBlueprint } from './modeling.js';

/* Compared with PyTorch. Tolerance: 2e-5 absolute for values of about 1 in single precision over some ten layers. */
const tolerance = 2e-5;
const { config, facts, tensors, examples, everywhere } = readFixture();
const base = baseOf(builtInBlueprint(config), part(tensors, 'weight/'));

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
  let model: Model;
  let inputs: Inputs;
  const names = (): string[] => model.parameters.names;
  const lossOf = async (model: Model): Promise<number> => {
    const { loss } = lossAndGradients(model, inputs, []);
    return (await loss.data())[0]!;
  };
  /** Logits at every text position, [positions, V]. */
  const logitsOf = async (examples: readonly Example[]): Promise<Float32Array> => {
    const positions = examples.reduce((sum, { labels }) => sum + labels.filter((id) => id !== noLabel).length, 0);
    const logits = tf.tidy(() => {
      const all = model.logits(model.hidden(uploadInputs(model.collate(examples))));
      return tf.slice(all, [0, 0], [positions, -1]);
    });
    return logits.data<'float32'>();
  };
  beforeAll(async () => {
    await selectBackend({ prefer: backend });
    model = await buildModel(base);
    inputs = uploadInputs(model.collate(examples));
  });
  afterAll(() => model?.dispose());

  it('gives the same logits and loss', async () => {
    expect(farthest(await logitsOf(everywhere), tensors.get('logits')!.data)).toBeLessThan(tolerance);
    expect(await lossOf(model)).toBeCloseTo(facts.loss, 5);
  });

  it('gives the same logits with visual features that were computed before', async () => {
    const { patches: _, ...others } = inputs;
    const [plain, given] = tf.tidy(() => [
      model.hidden(inputs),
      model.hidden({ ...others, features: model.features!(inputs) }),
    ]) as [tf.Tensor2D, tf.Tensor2D];
    expect(await given.data()).toEqual(await plain.data());
  });

  it('gives the same contribution of each block to the logits, and the same change of it by training', async () => {
    const asked = tensors.get('mask')!.data.filter((value) => value === 1).length;
    const contributionsNow = (): tf.Tensor3D =>
      tf.tidy(() => {
        const residuals: tf.Tensor2D[] = [];
        model.hidden(inputs, (x) => residuals.push(tf.slice(x, [0, 0], [asked, -1])));
        return contributions(residuals, (x) => model.logits(x));
      });
    const before = contributionsNow();
    expect(farthest(await before.data(), tensors.get('contribution/base')!.data)).toBeLessThan(tolerance);
    assignWeights(model.parameters, part(tensors, `step/${facts.trained.length - 1}/`));
    const now = contributionsNow();
    assignWeights(model.parameters, part(tensors, 'weight/'));
    expect(farthest(await now.data(), tensors.get('contribution/now')!.data)).toBeLessThan(tolerance);
    const { numbers, change, push } = facts.contribution;
    const shift = await contributionShift(before, now, numbers);
    expect(farthest(shift.change, change)).toBeLessThan(tolerance);
    expect(farthest(shift.numberPush, push)).toBeLessThan(tolerance);
  });

  it('gives the same gradient for every parameter', async () => {
    const { gradients } = lossAndGradients(model, inputs, names());
    expect(gradients.size).toBe(part(tensors, 'gradient/').size);
    for (const [name, { data, shape }] of part(tensors, 'gradient/')) {
      const gradient = gradients.get(name)!;
      expect(gradient.shape, name).toEqual(shape);
      expect(farthest(await gradient.data(), data), name).toBeLessThan(tolerance);
    }
  });

  it('computes no gradient for frozen parameters, and the same ones for the rest', async () => {
    const trained = facts.trained[2]!;
    const { gradients } = lossAndGradients(model, inputs, trained);
    expect([...gradients.keys()]).toEqual(trained);
    for (const name of trained)
      expect(farthest(await gradients.get(name)!.data(), tensors.get(`gradient/${name}`)!.data)).toBeLessThan(
        tolerance,
      );
  });

  it('agrees with central differences of its own loss', async () => {
    const name = 'language_model.layers.1.mlp.gate_proj.weight';
    const { gradients } = lossAndGradients(model, inputs, [name]);
    const gradient = await gradients.get(name)!.data<'float32'>();
    const weights = part(tensors, 'weight/').get(name)!;
    const at = gradient.reduce((best, value, i) => (Math.abs(value) > Math.abs(gradient[best]!) ? i : best), 0);
    const lossAt = async (shift: number): Promise<number> => {
      const data = Float32Array.from(weights.data);
      data[at]! += shift;
      assignWeights(model.parameters, new Map([[name, { ...weights, data }]]));
      return lossOf(model);
    };
    const numeric = ((await lossAt(0.01)) - (await lossAt(-0.01))) / 0.02;
    assignWeights(model.parameters, new Map([[name, weights]]));
    expect(numeric / gradient[at]!).toBeCloseTo(1, 2);
  });

  it('does not depend on the text behind a position', async () => {
    const { vocabSize } = config;
    const length = everywhere[0]!.labels.filter((id) => id !== noLabel).length;
    const changed = everywhere.map(({ ids, ...example }): Example => {
      const other = Int32Array.from(ids);
      other.set([7, 9], ids.length - 3);
      return { ...example, ids: other };
    });
    const [a, b] = [await logitsOf(everywhere), await logitsOf(changed)];
    for (const [row] of everywhere.entries()) {
      const [from, to] = [row * length * vocabSize, (row * length + 4) * vocabSize];
      expect(farthest(a.subarray(from, to), b.subarray(from, to))).toBe(0);
    }
    expect(a).not.toEqual(b);
  });

  it('writes with the key/value cache the likeliest tokens of a whole pass', async () => {
    const prompts = everywhere.map(({ ids, pictures }, row): Example => {
      const asked = ids.subarray(0, ids.length - 3 - (row % 2));
      return { ids: asked, labels: new Int32Array(asked.length).fill(noLabel), pictures };
    });
    const written = await model.generate(prompts, { maxNewTokens: 3, endIds: [] });
    const answered = prompts.map(({ ids, labels, pictures }, row): Example => {
      const answer = written[row]!;
      return { ids: Int32Array.of(...ids, ...answer), labels: Int32Array.of(...labels, ...answer), pictures };
    });
    expect(await answersRight(model, new Programs(), answered)).toEqual(prompts.map(() => true));
  });

  it('leaks no tensor over steps and generations', async () => {
    const prompts = everywhere.map((example): Example => ({ ...example, labels: example.labels.map(() => noLabel) }));
    const once = async (): Promise<void> => {
      const { loss, gradients } = lossAndGradients(model, inputs, names());
      tf.dispose([loss, ...gradients.values()]);
      await model.generate(prompts, { maxNewTokens: 2, endIds: [0] });
    };
    await once();
    const before = tf.memory().numTensors;
    await once();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('refuses an example without its picture, by its number', () => {
    const bare = { ...examples[1]!, pictures: [] };
    expect(() => model.collate([examples[0]!, bare])).toThrow(
      'Example 2 of the batch does not start with the 4 tokens',
    );
  });

  it('refuses weights that are missing, of another shape or unknown, by name', () => {
    const weights = part(tensors, 'weight/');
    const name = 'lm_head.weight';
    const of = (weights: Parameters<typeof baseOf>[1]) => () => baseOf(builtInBlueprint(config), weights);
    expect(of(new Map([...weights].filter(([n]) => n !== name)))).toThrow(/lack lm_head.weight/);
    const other = { ...weights.get(name)!, shape: [1, 1] };
    expect(of(new Map([...weights, [name, other]]))).toThrow(/shape \[1,1\]/);
    expect(of(new Map([...weights, ['more', other]]))).toThrow(/hold more/);
  });

  it('AdamW gives the weights of torch.optim.AdamW over freezing and unfreezing, and keeps frozen ones bit for bit', async () => {
    const { learningRate, maxGradientNorm, ...options } = facts.settings;
    const trainee = await buildModel(base);
    const optimizer = new AdamW(options);
    let last = await hostWeights(trainee.parameters);
    for (const [step, trained] of facts.trained.entries()) {
      const { loss, gradients } = lossAndGradients(trainee, inputs, trained);
      const norm = optimizer.apply(trainee.parameters, gradients, learningRate, maxGradientNorm);
      expect((await loss.data())[0]).toBeCloseTo(facts.losses[step]!, 4);
      expect((await norm.data())[0]! / facts.norms[step]!).toBeCloseTo(1, 4);
      const now = await hostWeights(trainee.parameters);
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

  it('AdamW gives each parameter its own learning rate: the steps are those of two optimizers', async () => {
    const [head, other] = ['lm_head.weight', 'language_model.layers.0.self_attn.q_proj.weight'];
    const both = await buildModel(base);
    const apart = await buildModel(base);
    const optimizer = new AdamW({ weightDecay: 0.1 });
    const optimizers = [new AdamW({ weightDecay: 0.1 }), new AdamW({ weightDecay: 0.1 })];
    for (let step = 0; step < 3; step++) {
      const { gradients } = lossAndGradients(both, inputs, [head, other]);
      optimizer.apply(both.parameters, gradients, (name) => (name === head ? 0.01 : 0.002));
      [head, other].forEach((name, i) =>
        optimizers[i]!.apply(apart.parameters, new Map([[name, gradients.get(name)!]]), i === 0 ? 0.01 : 0.002),
      );
    }
    const [a, b] = [await hostWeights(both.parameters), await hostWeights(apart.parameters)];
    expect(a).toEqual(b);
    expect(a.get(head)).not.toEqual(part(tensors, 'weight/').get(head));
  });

  it('AdamW keeps no moments for parameters that were never trained', async () => {
    const trainee = await buildModel(base);
    const optimizer = new AdamW();
    const name = 'lm_head.weight';
    const { gradients } = lossAndGradients(trainee, inputs, [name]);
    optimizer.apply(trainee.parameters, gradients, 0.01);
    expect(Object.keys((await optimizer.state(trainee.parameters)).steps)).toEqual([name]);
  });

  it('AdamW counts the bytes of all its moments', async () => {
    const trainee = await buildModel(base);
    const optimizer = new AdamW();
    const [head, other] = ['lm_head.weight', 'language_model.layers.0.self_attn.q_proj.weight'];
    const stepOn = (names: string[]): void => {
      const { loss, gradients } = lossAndGradients(trainee, inputs, names);
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
