import { beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { ModelInfo } from '@plumbline/shared/parameter';
import { resolveSelection } from '@plumbline/shared/selection';
import { nativeIsSetUp } from '../backend/native-setup.js';
import { selectBackend } from '../backend/select-backend.js';
import { AdamW } from '../optim/adamw.js';
import { Parameters } from '../runtime/parameter.js';
import { Programs } from '../runtime/program.js';
import { hostValues, makeParameter } from '../runtime/variable.js';
import type { BuildOptions } from './blueprint.js';
import { distance, loadTextGolden, lossAndGradients, textGoldens } from './golden-model.js';
import type { Example, Model } from './model.js';
import { readBlueprint } from './registry.js';
import { uploadInputs } from './upload.js';

/*
 * Compared with transformers: fixtures/make-text-models.py wrote weights, logits, gradients, a step of AdamW and greedy
 * texts of tiny random models.
 */
// One native backend per process; WASM beside it.
const backends = nativeIsSetUp('@tensorflow/tfjs-node') ? (['tensorflow', 'wasm'] as const) : (['wasm'] as const);
const cases = backends.flatMap((backend) => textGoldens.map((file) => ({ backend, file })));

describe.each(cases)('$file against transformers, on $backend', ({ backend, file }) => {
  beforeAll(async () => {
    await selectBackend({ prefer: backend });
  });
  const { facts, tensors, blueprint, build, named, examples, prompts } = loadTextGolden(file);

  it('names the parameters of transformers with their shapes', () => {
    expect(Object.fromEntries(blueprint.parameters.map(({ name, shape }) => [name, shape]))).toEqual(
      Object.fromEntries([...named('weight/')].map(([name, { shape }]) => [name, shape])),
    );
    const info = ModelInfo.parse(build().describe());
    expect(info.parameters.map(({ name }) => name)).toEqual(blueprint.parameters.map(({ name }) => name));
    expect(info.groups.some(({ part }) => part === 'other')).toBe(false);
  });

  it('gives the same logits at all positions, alone and in a padded batch', async () => {
    const model = build();
    const everywhere = examples.map(({ ids }): Example => ({ ids, labels: ids, pictures: [] }));
    const wanted = tensors.get('logits')!;
    const vocabulary = wanted.shape[1]!;
    const rows = examples.flatMap(({ ids }, i) => {
      const before = examples.slice(0, i).reduce((sum, { ids }) => sum + ids.length, 0);
      return Array.from({ length: ids.length - 1 }, (_, at) => before + at);
    });
    const some = rows.flatMap((row) => [...wanted.data.subarray(row * vocabulary, (row + 1) * vocabulary)]);
    const inputs = uploadInputs(model.collate(everywhere));
    const logits = tf.tidy(() => model.logits(model.hidden(inputs)));
    expect(distance((await logits.data()).subarray(0, some.length), some)).toBeLessThan(1e-4);
    const first = uploadInputs(model.collate(everywhere.slice(0, 1), { length: examples[0]!.ids.length }));
    const alone = tf.tidy(() => model.logits(model.hidden(first)));
    const length = (examples[0]!.ids.length - 1) * vocabulary;
    expect(distance((await alone.data()).subarray(0, length), some.slice(0, length))).toBeLessThan(1e-4);
  });

  it.each([false, true])('gives the same loss and gradients of every parameter (recomputed: %s)', async (recompute) => {
    const model = build({ recompute });
    const { loss, gradients } = lossAndGradients(model, examples, model.parameters.names);
    expect((await loss.data())[0]).toBeCloseTo(facts.loss, 4);
    expect(Object.keys(gradients)).toHaveLength(named('gradient/').size);
    for (const [name, gradient] of Object.entries(gradients)) {
      const wanted = tensors.get(`gradient/${name}`)!;
      expect(gradient.shape, name).toEqual(wanted.shape);
      expect(distance(await gradient.data(), wanted.data, 1e-6), name).toBeLessThan(1e-3);
    }
  });

  it('takes the same step of AdamW', async () => {
    const model = build();
    const { learningRate, maxGradientNorm, ...options } = facts.settings;
    const { gradients } = lossAndGradients(model, examples, model.parameters.names);
    const optimizer = new AdamW(options);
    const norm = optimizer.apply(model.parameters, new Map(Object.entries(gradients)), learningRate, maxGradientNorm);
    expect((await norm.data())[0]! / facts.norm).toBeCloseTo(1, 4);
    for (const parameter of model.parameters)
      // Adam divides by the root of the second moment, which magnifies rounding where a gradient is near 0.
      expect(
        distance(await hostValues(parameter), tensors.get(`step/${parameter.name}`)!.data),
        parameter.name,
      ).toBeLessThan(2e-4);
  });

  it.each([
    [1, false],
    [2, true],
    [16, true],
  ])(
    'writes the same tokens after prompts of different lengths, %i at a time (compiled: %s)',
    async (batchSize, compiled) => {
      const model = build();
      const maxNewTokens = facts.written[0]!.length;
      const programs = new Programs();
      const given = { maxNewTokens, batchSize, ...(compiled && { programs }) };
      expect(await model.generate(prompts, { ...given, endIds: [] })).toEqual(facts.written);
      // The first token of a batch and any further one, for each number of prompts in a batch.
      if (compiled && backend === 'tensorflow') expect(programs.compiled).toBe(batchSize === 2 ? 4 : 2);
      // One text ends early; the others go on.
      const end = facts.written[0]![2]!;
      const ended = facts.written.map((tokens) =>
        tokens.includes(end) ? tokens.slice(0, tokens.indexOf(end)) : tokens,
      );
      let between = 0;
      const options = { ...given, endIds: [end], between: () => Promise.resolve(void between++) };
      expect(await model.generate(prompts, options)).toEqual(ended);
      expect(between).toBeGreaterThanOrEqual(Math.max(...ended.map(({ length }) => length)) - 1);
      programs.dispose();
    },
  );

  it('keeps frozen weights bit for bit after a freeze in mid-run, a tied head included', async () => {
    const model = build();
    const info = model.describe();
    const optimizer = new AdamW({ weightDecay: 0.1 });
    const stepOn = async (recipe: string): Promise<string[]> => {
      const selected = resolveSelection({ kind: 'recipe', recipe }, info);
      if (!selected.ok) throw new Error(selected.reason);
      const { loss, gradients } = lossAndGradients(model, examples, selected.trainable);
      await loss.data();
      optimizer.apply(model.parameters, new Map(Object.entries(gradients)), 1e-3, 1);
      return selected.trainable;
    };
    const values = async (): Promise<Map<string, Float32Array>> => {
      const all = new Map<string, Float32Array>();
      for (const parameter of model.parameters) all.set(parameter.name, await hostValues(parameter));
      return all;
    };
    const start = await values();
    await stepOn('full');
    const frozen = await values();
    const trained = [...(await stepOn('sa_proj')), ...(await stepOn('sa_proj'))];
    const now = await values();
    for (const [name, value] of frozen) {
      expect(value, name).not.toEqual(start.get(name));
      if (trained.includes(name)) expect(now.get(name), name).not.toEqual(value);
      else expect(now.get(name), name).toEqual(value);
    }
    expect(trained.some((name) => /embed_tokens|lm_head/.test(name))).toBe(false);
  });

  it('gives the same gradients for a selection as for all, recomputed or not', async () => {
    const names = blueprint.parameters.map(({ name }) => name).filter((name) => /layers.1.mlp|lm_head|1.*v_proj/.test(name)); // prettier-ignore
    for (const recompute of [false, true]) {
      const { gradients } = lossAndGradients(build({ recompute }), examples, names);
      expect(Object.keys(gradients)).toEqual(names);
      for (const [name, gradient] of Object.entries(gradients))
        expect(distance(await gradient.data(), tensors.get(`gradient/${name}`)!.data, 1e-6), name).toBeLessThan(1e-3);
    }
  });

  it('tells the residual stream before and after each block, at the positions that are read', async () => {
    const model = build();
    const inputs = uploadInputs(model.collate(examples));
    const { hidden, told } = tf.tidy(() => {
      const told: tf.Tensor2D[] = [];
      return { hidden: model.hidden(inputs, (x) => told.push(tf.clone(x))), told };
    });
    expect(told).toHaveLength(2 * model.text.layers + 1);
    expect(told.every(({ shape }) => String(shape) === String(hidden.shape))).toBe(true);
    expect(await told.at(-1)!.data()).toEqual(await hidden.data());
    const ids = await tf.gather(tf.reshape(inputs['ids']!, [-1]), inputs['read']!).data();
    const table = tensors.get(`weight/model.embed_tokens.weight`)!;
    const embedded = [...ids].flatMap((id) => [...table.data.subarray(id * model.text.width, (id + 1) * model.text.width)]); // prettier-ignore
    expect([...(await told[0]!.data())]).toEqual(embedded);
  });

  it('leaks no tensor over steps and generations, nor where one fails', async () => {
    const model = build({ recompute: true });
    const prompt = { ...examples[0]!, pictures: [] };
    const stop = (): Promise<void> => Promise.reject(new Error('stopped'));
    const once = async (): Promise<void> => {
      tf.dispose(lossAndGradients(model, examples, model.parameters.names));
      await model.generate([prompt], { maxNewTokens: 3, endIds: [] });
      await expect(model.generate([prompt], { maxNewTokens: 3, endIds: [], between: stop })).rejects.toThrow('stopped');
    };
    await once();
    const before = tf.memory().numTensors;
    await once();
    expect(tf.memory().numTensors).toBe(before);
  });

  it('keeps less for the backward pass when it recomputes', () => {
    const kept = [true, false].map((recompute) => {
      const model = build({ recompute });
      const before = tf.memory().numBytes;
      let bytes = 0;
      tf.tidy(() => {
        const inputs = uploadInputs(model.collate(examples));
        model.parameters.gradients(model.parameters.names, () => {
          const hidden = model.hidden(inputs);
          bytes = tf.memory().numBytes - before;
          return tf.sum(hidden) as tf.Scalar;
        });
      });
      model.dispose();
      return bytes;
    });
    expect(kept[0]).toBeLessThan(kept[1]! / 2);
  });
});

describe.each(backends)('a model with an attention window, on %s', (backend) => {
  beforeAll(async () => {
    await selectBackend({ prefer: backend });
  });
  const { facts, build, examples } = loadTextGolden('qwen2');

  it('refuses answers beyond the attention window', async () => {
    const config = { ...facts.config, use_sliding_window: true, sliding_window: 8 };
    const model = readBlueprint(config).build(build().parameters);
    const prompts = [examples[1]!];
    expect((await model.generate(prompts, { maxNewTokens: 2, endIds: [] }))[0]).toHaveLength(2);
    await expect(model.generate(prompts, { maxNewTokens: 3, endIds: [] })).rejects.toThrow(/window of 8 .* have 9/);
  });
});

describe.each(backends)('a model with adapters, on %s', (backend) => {
  beforeAll(async () => {
    await selectBackend({ prefer: backend });
  });
  const { blueprint, build, examples } = loadTextGolden('qwen2');
  const adapted = /\.(q_proj|up_proj)\.weight$/;
  const withAdapters = (options?: BuildOptions): Model => {
    const plain = [...build().parameters];
    const added = plain.flatMap(({ name, shape }) => {
      if (!adapted.test(name)) return [];
      const path = name.slice(0, -'.weight'.length);
      const [out, width] = shape as [number, number];
      const filled = (length: number): number[] => Array.from({ length }, (_, i) => Math.sin(length + i) / 4);
      return [
        makeParameter(`${path}.lora_A.weight`, () => tf.tensor(filled(2 * width), [2, width])),
        makeParameter(`${path}.lora_B.weight`, () => tf.tensor(filled(out * 2), [out, 2])),
      ];
    });
    return blueprint.build(
      new Parameters([...plain, ...added], {
        adapters: { rank: 2, alpha: 3 },
        fixed: new Set(plain.map(({ name }) => name)),
      }),
      options,
    );
  };

  it('is the model with the products of the adapters added', async () => {
    const model = withAdapters();
    const merged = build();
    for (const parameter of merged.parameters)
      tf.tidy(() => parameter.assign(model.parameters.effective(parameter.name)));
    const inputs = uploadInputs(model.collate(examples));
    const [got, wanted, plain] = [model, merged, build()].map((one) => tf.tidy(() => one.logits(one.hidden(inputs)))) as [tf.Tensor, tf.Tensor, tf.Tensor]; // prettier-ignore
    expect(distance(await got.data(), await wanted.data())).toBeLessThan(1e-4);
    expect(distance(await got.data(), await plain.data())).toBeGreaterThan(0.1);
  });

  it('trains its adapters only, with the same gradients when it recomputes', async () => {
    const [plain, recomputed] = [withAdapters(), withAdapters({ recompute: true })];
    const trainable = plain.describe().parameters.filter(({ fixed }) => !fixed).map(({ name }) => name); // prettier-ignore
    expect(trainable).toHaveLength(2 * blueprint.parameters.filter(({ name }) => adapted.test(name)).length);
    expect(trainable.every((name) => name.includes('lora_'))).toBe(true);
    const [wanted, got] = [plain, recomputed].map((model) => lossAndGradients(model, examples, trainable).gradients) as [tf.NamedTensorMap, tf.NamedTensorMap]; // prettier-ignore
    for (const name of trainable) {
      expect(await tf.max(tf.abs(wanted[name]!)).data(), name).not.toEqual(Float32Array.of(0));
      expect(distance(await got[name]!.data(), await wanted[name]!.data(), 1e-6), name).toBeLessThan(1e-4);
    }
  });
});
