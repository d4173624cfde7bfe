import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { TrainingMethod } from '@plumbline/shared/built-in/method';
import { weightDrift } from '@plumbline/shared/metric';
import type { RunConfig } from '@plumbline/shared/built-in/run-config';
import { modelConfig, series, SmallRuns, tokenizer } from '../../test/support/small-run.js';
import { loadCheckpoint } from './checkpoint.js';
import { mergeCheckpoint } from './methods/merge-checkpoint.js';
import { prepareMethod } from './methods/prepare-method.js';
import { baseOf } from './models/base.js';
import { buildModel } from './models/build-model.js';
import { BuiltInConfig } from './models/built-in/configuration.js';
import { builtInBlueprint } from './models/built-in/modeling.js';
import { hostWeights } from './models/host-weights.js';
import { Evaluation } from './probes/evaluation.js';
import { readSafetensors } from './safetensors.js';

describe('a run by each method', () => {
  const small = new SmallRuns();

  describe.each<[TrainingMethod, Partial<RunConfig>]>([
    [{ kind: 'lora', rank: 2, alpha: 4 }, {}],
    [{ kind: 'lwf', weight: 1, temperature: 2 }, {}],
    [{ kind: 'wise_ft', weights: [0, 0.5, 1] }, { evaluationQuestions: 2 }],
    [{ kind: 'mixture_of_experts', experts: 2 }, {}],
  ])('by the method %j', (method, overrides) => {
    const asked = { ...overrides, method };

    it('repeats exactly, and continues from a checkpoint bit for bit as if it had not stopped', async () => {
      const whole = await small.run(asked);
      expect(whole.outcome.kind).toBe('finished');
      const again = await small.run(asked);
      const from = await loadCheckpoint(join(small.folder, 'checkpoints', 'step-000004'));
      expect(from.method).toEqual(method);
      const rest = await small.run(asked, { from });
      const losses = series(whole.events, 'train/loss');
      expect(series(again.events, 'train/loss')).toEqual(losses);
      expect(series(rest.events, 'train/loss')).toEqual(losses.slice(4));
      const weights = await hostWeights(whole.model.parameters);
      expect(await hostWeights(again.model.parameters)).toEqual(weights);
      expect(await hostWeights(rest.model.parameters)).toEqual(weights);
      const drifts = Object.keys(whole.events.flatMap((e) => ('metrics' in e ? [e.metrics] : []))[0]!).filter((name) =>
        name.startsWith('drift/'),
      );
      expect(drifts.length).toBeGreaterThan(10);
      for (const name of drifts)
        expect(series(rest.events, name).at(-1), name).toEqual(series(whole.events, name).at(-1));
    });

    it('starts as the base, moves only trainable parameters, and holds moments of these only', async () => {
      const { events, model } = await small.run({ ...asked, recipe: 'mlp_down' });
      const [started] = events.flatMap((event) => (event.type === 'run_started' ? [event] : []));
      expect(series(events, 'shift/kl')[0]![1]).toBeCloseTo(0, 6);
      expect(series(events, 'shift/top1_agreement')[0]).toEqual([0, 100]);
      const trained = new Set(started!.trainable);
      const infos = started!.model.parameters;
      expect(infos.some(({ name, fixed }) => fixed && trained.has(name))).toBe(false);
      const { model: start } = await prepareMethod(method, small.base, 1);
      const before = await hostWeights(start.parameters);
      for (const [name, { data }] of await hostWeights(model.parameters))
        if (trained.has(name)) expect(data, name).not.toEqual(before.get(name)!.data);
        else expect(data, name).toEqual(before.get(name)!.data);
      const size = infos.reduce((sum, info) => sum + (trained.has(info.name) ? info.size : 0), 0);
      expect(new Set(series(events, 'train/optimizer_bytes').map(([, bytes]) => bytes))).toEqual(new Set([8 * size]));
      // Drift is measured on effective weights: it shows in the trained groups, and in no other.
      const groups = new Set(infos.flatMap(({ name, group }) => (trained.has(name) ? [group] : [])));
      for (const { group } of infos) {
        const drift = series(events, weightDrift(group));
        expect(drift[0], group).toEqual([0, 0]);
        if (groups.has(group)) expect(drift.at(-1)![1], group).toBeGreaterThan(0);
        else expect(drift.at(-1), group).toEqual([8, 0]);
      }
    });
  });

  it('distils and reports both parts of the loss', async () => {
    const { events } = await small.run({ method: { kind: 'lwf', weight: 2, temperature: 2 } });
    const [loss, task, distillation] = ['train/loss', 'train/task_loss', 'train/distillation_loss'].map((name) =>
      series(events, name).map(([, value]) => value as number),
    );
    // Student and teacher are the same function at first, but different kernels compute them.
    expect(distillation![0]).toBeCloseTo(0, 6);
    expect(Math.min(...distillation!.slice(1))).toBeGreaterThan(1e-6);
    loss!.forEach((value, i) => expect(value).toBeCloseTo(task![i]! + distillation![i]!, 5));
    expect(series((await small.run()).events, 'train/task_loss')).toEqual([]);
  });

  it('evaluates the weights between the base and the trained ones at the end of each stage, without an effect on training', async () => {
    const sequence: Partial<RunConfig> = { tasks: ['counting', 'clock'], steps: 4, evaluationQuestions: 20 };
    const plain = await small.run(sequence);
    const { events, model } = await small.run({ ...sequence, method: { kind: 'wise_ft', weights: [0, 0.5, 1] } });
    const evaluations = events.flatMap((event) => (event.type === 'evaluation_completed' ? [event] : []));
    expect(evaluations.map(({ step, stage, weight }) => [step, stage, weight])).toEqual([
      [0, null, null],
      ...[null, 0, 0.5, 1].map((weight) => [4, 0, weight]),
      ...[null, 0, 0.5, 1].map((weight) => [8, 1, weight]),
    ]);
    for (const at of [1, 5]) {
      expect(evaluations[at + 1]!.right).toEqual(evaluations[0]!.right);
      expect(evaluations[at + 3]!.right).toEqual(evaluations[at]!.right);
    }
    expect(await hostWeights(model.parameters)).toEqual(await hostWeights(plain.model.parameters));
  });

  it('writes a LoRA checkpoint as a plain model with the same answers, and refuses a mixture of experts', async () => {
    const base = { ...small.base, config: modelConfig, weights: new Map(small.baseWeights), tokenizer };
    const checkpoint = join(small.folder, 'checkpoints', 'step-000008');
    const out = join(small.folder, 'merged');
    const { model } = await small.run({ method: { kind: 'lora', rank: 2, alpha: 4 } });
    expect(await mergeCheckpoint(checkpoint, out, base)).toBe('step 8, LoRA adapters of rank 2 and alpha 4 merged in');
    expect((await readdir(out)).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    const { tensors } = readSafetensors(await readFile(join(out, 'model.safetensors')));
    expect([...tensors.keys()]).toEqual([...small.baseWeights.keys()]);
    const config = BuiltInConfig.parse(JSON.parse(await readFile(join(out, 'config.json'), 'utf8')));
    const merged = await buildModel(baseOf(builtInBlueprint(config), tensors));
    const evaluation = await Evaluation.create(merged, tokenizer, { questionsPerTask: 20, seed: 1 });
    expect(await evaluation.ask(model)).toEqual(evaluation.base);
    await expect(mergeCheckpoint(checkpoint, out, base)).rejects.toThrow(/exists already/);
    await small.run({ method: { kind: 'mixture_of_experts', experts: 1 } });
    await expect(mergeCheckpoint(checkpoint, `${out}-2`, base)).rejects.toThrow(/no plain model is equivalent/);
  });

  it('refuses a checkpoint of another method or of other sizes, and says which', async () => {
    await small.run({ method: { kind: 'lora', rank: 2, alpha: 4 } });
    const from = await loadCheckpoint(join(small.folder, 'checkpoints', 'step-000004'));
    const into = (method: TrainingMethod): Promise<unknown> => small.run({ method }, { from });
    await expect(into({ kind: 'lora', rank: 2, alpha: 8 })).rejects.toThrow(
      /is of a model with LoRA adapters of rank 2 and alpha 4; this run trains a model with .* alpha 8.*Choose/,
    );
    await expect(into({ kind: 'fine_tuning' })).rejects.toThrow(/this run trains a model without additions/);
    await expect(into({ kind: 'mixture_of_experts', experts: 1 })).rejects.toThrow(/1 further expert in each layer/);
    from.weights.delete('lm_head.weight');
    await expect(into({ kind: 'lora', rank: 2, alpha: 4 })).rejects.toThrow(/lack lm_head.weight/);
  });
});
