import { rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { targetAccuracy, weightDrift } from '@plumbline/shared/metric';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { defaults, series, SmallRuns } from '../../test/support/small-run.js';
import { hostWeights } from './models/host-weights.js';
import { loadCheckpoint } from './checkpoint.js';
import { EnergyMeter } from './energy/energy-meter.js';
import { startNewRun } from './starting-point.js';

describe('train', () => {
  const small = new SmallRuns();

  it('emits its events in order, and ends once', async () => {
    const { outcome, events } = await small.run();
    expect(outcome.kind).toBe('finished');
    const step = 'step_completed';
    expect(events.map(({ type }) => type)).toEqual([
      ...['run_started', 'stage_started', 'probe_completed', 'checkpoint_saved'],
      ...[step, step, step, step, 'probe_completed', 'checkpoint_saved'],
      ...[step, step, step, step, 'probe_completed', 'checkpoint_saved', 'run_finished'],
    ]);
    // Warm-up over two steps, then the cosine.
    expect(
      series(events, 'train/learning_rate')
        .slice(0, 2)
        .map(([, rate]) => rate),
    ).toEqual([5e-4, 1e-3]);
    expect(series(events, 'shift/kl')[0]).toEqual([0, 0]);
    expect(series(events, 'shift/top1_agreement')[0]).toEqual([0, 100]);
  });

  describe('a sequence of tasks', () => {
    const sequence = { tasks: ['counting', 'clock'], steps: 4, warmupSteps: 2, checkpointEverySteps: 100 } as const;
    const asked = { ...sequence, tasks: [...sequence.tasks] };

    it('teaches one after another, each with its own optimizer and schedule', async () => {
      const { outcome, events } = await small.run(asked);
      expect(outcome.kind).toBe('finished');
      const stages = events.flatMap((event) =>
        event.type === 'stage_started' ? [[event.step, event.stage, event.task, event.steps]] : [],
      );
      expect(stages).toEqual([
        [0, 0, 'counting', 4],
        [4, 1, 'clock', 4],
      ]);
      const ofSteps = events.flatMap((event) => (event.type === 'step_completed' ? [[event.step, event.stage]] : []));
      expect(ofSteps.map(([, stage]) => stage)).toEqual([0, 0, 0, 0, 1, 1, 1, 1]);
      const rates = series(events, 'train/learning_rate').map(([, rate]) => rate);
      expect(rates.slice(4)).toEqual(rates.slice(0, 4));
      // The first skill is still measured while the second is taught.
      expect(series(events, targetAccuracy('counting')).map(([step]) => step)).toEqual([0, 4, 8]);
      expect(series(events, targetAccuracy('clock')).map(([step]) => step)).toEqual([0, 4, 8]);
      expect(await readdir(join(small.folder, 'checkpoints'))).toEqual(['step-000000', 'step-000004', 'step-000008']);
    });

    it('continues from the end of a stage bit for bit as if it had not stopped', async () => {
      const whole = await small.run(asked);
      const from = await loadCheckpoint(join(small.folder, 'checkpoints', 'step-000004'));
      const rest = await small.run(asked, { from });
      expect(series(rest.events, 'train/loss')).toEqual(series(whole.events, 'train/loss').slice(4));
    });

    it('keeps the selection, and holds moments of nothing else', async () => {
      const { events, model } = await small.run(asked, {
        at: { 2: { kind: 'set_trainable', selection: { kind: 'recipe', recipe: 'sa_proj' } } },
      });
      const sizes = (part: RegExp): number =>
        model.describe().parameters.reduce((sum, { name, size }) => sum + (part.test(name) ? size : 0), 0);
      const whole = sizes(/^(language_model|lm_head)/);
      const attention = sizes(/^language_model.*self_attn/);
      // Two moments of each parameter that was trained in the stage: frozen parameters keep theirs until the stage
      // ends.
      expect(series(events, 'train/optimizer_bytes').map(([, bytes]) => bytes)).toEqual([
        ...[whole, whole, whole, whole].map((size) => 8 * size),
        ...[attention, attention, attention, attention].map((size) => 8 * size),
      ]);
    });

    it('asks every task before training and at the end of each stage, answer by answer', async () => {
      const { events } = await small.run({ ...asked, evaluationQuestions: 3 });
      const evaluations = events.flatMap((event) => (event.type === 'evaluation_completed' ? [event] : []));
      expect(evaluations.map(({ step, stage, weight }) => [step, stage, weight])).toEqual([
        [0, null, null],
        [4, 0, null],
        [8, 1, null],
      ]);
      for (const { right } of evaluations) {
        expect(Object.keys(right)).toEqual(expect.arrayContaining(['counting', 'clock', 'colour', 'easy_vqa']));
        for (const answers of Object.values(right)) expect(answers).toMatch(/^[01]{3}$/);
      }
    });
  });

  it('repeats exactly with its seed, and not with another', async () => {
    const loss = async (seed: number): Promise<unknown> => series((await small.run({ seed })).events, 'train/loss');
    const first = await loss(1);
    expect(await loss(1)).toEqual(first);
    expect(await loss(2)).not.toEqual(first);
  });

  it('continues from a checkpoint bit for bit as if it had not stopped', async () => {
    const whole = await small.run();
    const from = await loadCheckpoint(join(small.folder, 'checkpoints', 'step-000004'));
    const rest = await small.run({}, { from });
    expect(series(rest.events, 'train/loss')).toEqual(series(whole.events, 'train/loss').slice(4));
    const [a, b] = [await hostWeights(whole.model.parameters), await hostWeights(rest.model.parameters)];
    for (const [name, { data }] of a) expect(b.get(name)!.data, name).toEqual(data);
    // Drift is still measured against the base model.
    expect(series(rest.events, weightDrift('language_model.lm_head')).at(-1)).toEqual(
      series(whole.events, weightDrift('language_model.lm_head')).at(-1),
    );
  });

  it('draws from its own seed when it starts a new run from a checkpoint', async () => {
    const whole = await small.run();
    const from = await loadCheckpoint(join(small.folder, 'checkpoints', 'step-000004'));
    const lossOf = async (seed: number, start = from): Promise<unknown> => {
      const config = { seed, learningRate: 5e-4 };
      const asNew = startNewRun(start, RunConfig.parse({ ...defaults, ...config }));
      return series((await small.run(config, { from: asNew })).events, 'train/loss');
    };
    const [first, second] = [await lossOf(1), await lossOf(2)];
    expect(second).not.toEqual(first);
    expect(await lossOf(2)).toEqual(second);
    // With the seed of the previous run, the order of the data continues: no example is taught twice.
    expect((first as unknown[])[0]).toEqual(series(whole.events, 'train/loss')[4]);
    // A checkpoint of a new run has that run's seed; one without a seed matches no run.
    expect((await loadCheckpoint(join(small.folder, 'checkpoints', 'step-000008'))).position.seed).toBe(2);
    const { seed, ...unsaid } = from.position;
    expect(seed).toBe(1);
    expect(await lossOf(1, { ...from, position: unsaid })).not.toEqual(first);
  });

  it('does not finish before its last checkpoint is written', async () => {
    const checkpoints = join(small.folder, 'checkpoints');
    const { outcome, events } = await small.run(
      { steps: 8, checkpointEverySteps: 100 },
      {
        onEvent: (event) => {
          if (event.type === 'step_completed' && event.step === 8) {
            rmSync(checkpoints, { recursive: true });
            writeFileSync(checkpoints, '');
          }
          if (event.type === 'run_paused') rmSync(checkpoints);
        },
        onPause: { kind: 'resume' },
      },
    );
    expect(outcome.kind).toBe('finished');
    const ends = events.map(({ type }) => type).slice(-5);
    expect(ends).toEqual(['run_paused', 'command_applied', 'run_resumed', 'checkpoint_saved', 'run_finished']);
    expect((await loadCheckpoint(join(checkpoints, 'step-000008'))).position.step).toBe(8);
  });

  it('reports energy with every probe and with each step for which it is due, never less than before', async () => {
    const settings = { gridIntensity: 473, powerUsageEffectiveness: 1, wattsPerCore: null };
    const energy = await EnergyMeter.open({ settings, gpu: 'none' });
    // Due at each step, because the steps take less than a second.
    const always = { due: () => energy.now(), now: () => energy.now() };
    const { events } = await small.run({}, { energy: always }).finally(() => energy.close());
    const joules = series(events, 'energy/joules');
    const probes = events.filter(({ type }) => type === 'probe_completed');
    expect(probes.every((event) => 'metrics' in event && 'energy/joules' in event.metrics)).toBe(true);
    expect(joules.length).toBe(probes.length + 8);
    expect(joules.at(-1)![0]).toBe(8);
    joules.forEach(([, value], index) => expect(value).toBeGreaterThanOrEqual(Number(joules[index - 1]?.[1] ?? 0)));
    const [last, low, high] = ['energy/joules', 'energy/joules_low', 'energy/joules_high'].map(
      (name) => series(events, name).at(-1)![1] as number,
    ) as [number, number, number];
    expect(low).toBeGreaterThan(0);
    expect(low).toBeLessThan(last);
    expect(high).toBeGreaterThan(last);
    expect(series(events, 'energy/co2_grams').at(-1)![1]).toBeCloseTo((last / 3.6e6) * 473, 9);
  });

  it('fails when the loss is no longer finite, says so, and keeps the last good checkpoint', async () => {
    const { outcome, events } = await small.run(
      { schedule: 'constant', warmupSteps: 0, steps: 40 },
      // A learning rate beyond the limit for commands destroys the weights at once.
      { at: { 4: { kind: 'set_learning_rate', learningRate: 1e30 } } },
    );
    expect(outcome.kind).toBe('failed');
    const last = events.at(-1)!;
    expect(last).toMatchObject({ type: 'run_failed' });
    expect('reason' in last && last.reason).toMatch(
      /became (NaN|Infinity) at step \d+ .*step-000004.*lower learning rate/,
    );
    expect(['NaN', 'Infinity']).toContain(series(events, 'train/loss').at(-1)![1]);
    const { weights } = await loadCheckpoint(join(small.folder, 'checkpoints', 'step-000004'));
    expect([...weights.values()].every(({ data }) => data.every(Number.isFinite))).toBe(true);
  });
});
