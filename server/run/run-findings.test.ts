import { builtInDeclaration } from '@plumbline/shared/built-in/series';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { weightDrift } from '@plumbline/shared/metric';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { correlation } from '../analysis/findings.js';
import { EmbeddedStore } from '../store/embedded-store.js';
import { ReadAbandonedError, type EventStore } from '../store/event-store.js';
import { describeModel } from '../trainer/models/parameter-roles.js';
import { mixture } from '../../test/support/real-models.js';
import { started } from '../../test/support/test-hub.js';
import { runFindings } from './run-findings.js';

/** More probes than are read point by point, over two stages. */
const probes = 60_000;
const stageSteps = probes / 2;
const runId = RunId.parse('long');
const run = {
  runId,
  description: describeRun(RunConfig.parse({ name: 'long', tasks: ['counting', 'reading'], steps: stageSteps })),
  state: 'finished',
  parent: null,
} as const;
/** Falls slowly and swings fast, as noisy accuracies do; its ends and its lowest value stand out. */
const heldOutAt = (step: number): number => (step === 41_234 ? 5 : 90 - step / 2000 + 3 * Math.sin(step));
const biasAt = (step: number): number => 0.01 + step / 200_000 + 0.01 * Math.cos(3 * step);
/** At the end of its stage neither the largest nor the smallest value around. */
const countingAt = (step: number): number => (step === stageSteps ? 70 : 60 + (step % 2) * 30);

describe('findings of a run with more probes than are held', () => {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-findings-'));
  const store = new EmbeddedStore(join(folder, 'plumbline.duckdb'));

  beforeAll(async () => {
    const stored = { ...run, reason: '', trainer: null } as const;
    await store.createRun({ ...stored, createdMs: 1, startedMs: 1, endedMs: 2 });
    const baseline = {
      'held_out/mean/accuracy': 90,
      'bias/number_tokens/held_out': 0.01,
      'target/counting/accuracy': 10,
    };
    const series = [...Object.keys(baseline), 'shift/kl'].map((name, number) => ({
      number,
      ...builtInDeclaration(name, { 'probe/questions_per_task': 1000, ...baseline }),
    }));
    await store.append(runId, [{ ...started(), baseline, series }]);
    const groups = Object.fromEntries(Array.from({ length: 8 }, (_, i) => [`drift/group.${i}`, i]));
    for (let from = 1; from <= probes; from += 5000)
      await store.append(
        runId,
        Array.from({ length: 5000 }, (_, i): TrainerEvent => {
          const step = from + i;
          const metrics = {
            ...{ 'held_out/mean/accuracy': heldOutAt(step), 'bias/number_tokens/held_out': biasAt(step) },
            ...{ 'target/counting/accuracy': countingAt(step), 'train/loss': step === 777 ? ('NaN' as const) : 1 },
            ...groups,
          };
          return { type: 'probe_completed', seq: step + 1, step, stage: 0, wallTimeMs: step, metrics };
        }),
      );
  }, 120_000);
  afterAll(async () => {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('are right where they speak of single values: first, lowest, last, at the end of a stage', async () => {
    const found = await runFindings(store, run);
    const ofKind = (kind: string) => found.find((finding) => finding.kind === kind)!;
    expect(ofKind('diverged')).toMatchObject({ step: 777 });
    expect(ofKind('held_out_drop')).toMatchObject({ step: 41_234 });
    expect(ofKind('held_out_drop').values['worst']).toBeCloseTo(5 - 90, 9);
    expect(ofKind('held_out_drop').values['end']).toBeCloseTo(heldOutAt(probes) - 90, 9);
    expect(ofKind('target_task').values['learned']).toBeCloseTo(70 - 10, 9);
    expect(ofKind('weight_drift').values).toEqual({ 'group.7': 7, 'group.6': 6, 'group.5': 5 });
  });

  it('go by means where extremes alone would mislead, and say so', async () => {
    const found = (await runFindings(store, run)).find(({ kind }) => kind === 'drop_follows_bias')!;
    expect(found.text).toMatch(/over means of \d+ steps/);
    const [, width] = /means of (\d+) steps/.exec(found.text)!.map(Number) as [number, number];
    const means = (valueAt: (step: number) => number) => {
      const windows = Array.from({ length: Math.ceil((probes + 1) / width) }, (_, window) =>
        Array.from({ length: width }, (_, i) => window * width + i).filter((step) => step >= 1 && step <= probes),
      ).filter((steps) => steps.length > 0);
      return {
        steps: windows.map(([first]) => first!),
        values: windows.map((steps) => steps.reduce((sum, step) => sum + valueAt(step), 0) / steps.length),
      };
    };
    expect(found.values['correlation']).toBeCloseTo(correlation(means(heldOutAt), means(biasAt)), 6);
  });

  /** The store, with a look at each read of series when it begins. */
  function watched(onRead: (signal: AbortSignal | undefined) => void) {
    let [underWay, most] = [0, 0];
    const counted = async <T>(signal: AbortSignal | undefined, read: () => Promise<T>): Promise<T> => {
      most = Math.max(most, ++underWay);
      onRead(signal);
      try {
        return await read();
      } finally {
        underWay--;
      }
    };
    type Args<Name extends 'history' | 'windows' | 'eachSeries'> = Parameters<EventStore[Name]>;
    const found = {
      history: (...args: Args<'history'>) => counted(args[2], () => store.history(...args)),
      windows: (...args: Args<'windows'>) => counted(args[2], () => store.windows(...args)),
      eachSeries: (...args: Args<'eachSeries'>) => counted(args[3], () => store.eachSeries(...args)),
      eachControlEvents: store.eachControlEvents.bind(store),
      eachCommands: store.eachCommands.bind(store),
    };
    return { store: found, most: () => most };
  }

  it('read one series or stage after another, each as a read of their reader', async () => {
    const reader = new AbortController();
    const signals: (AbortSignal | undefined)[] = [];
    const reads = watched((signal) => void signals.push(signal));
    await runFindings(reads.store, run, reader.signal);
    // Outlines, courses, two stages, windows, the loss that was not finite.
    expect(signals).toEqual(Array(6).fill(reader.signal));
    expect(reads.most()).toBe(1);
  });

  it.each([1, 2, 3, 4, 5])('end when their reader leaves during read %i', async (last) => {
    const reader = new AbortController();
    let begun = 0;
    const reads = watched(() => {
      if (++begun === last) reader.abort();
    });
    await expect(runFindings(reads.store, run, reader.signal)).rejects.toThrow(ReadAbandonedError);
    expect(begun).toBe(last);
  });

  it('read what they need: no series of weights point by point', async () => {
    let read = 0;
    const counting = {
      history: async (...[id, range]: Parameters<EventStore['history']>) => {
        const answer = await store.history(id, range);
        for (const { values } of answer.series.values()) read += values.length;
        return answer;
      },
      windows: store.windows.bind(store),
      eachSeries: store.eachSeries.bind(store),
      eachControlEvents: store.eachControlEvents.bind(store),
      eachCommands: store.eachCommands.bind(store),
    };
    await runFindings(counting, run);
    // Held-out accuracy, bias and the target task, in 50,000 points each at most, the target once more by stages.
    expect(read).toBeLessThanOrEqual(4 * 50_000);
  });
});

it('findings of a model with a long description are made', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-findings-'));
  const store = new EmbeddedStore(join(folder, 'plumbline.duckdb'));
  try {
    const model = describeModel('a mixture of experts', mixture(80));
    const trainable = model.parameters.map(({ name }) => name);
    const start = { ...started(), model, trainable };
    // Longer than all other changes may be together.
    expect(JSON.stringify(start).length).toBeGreaterThan(16 * 2 ** 20);
    const group = model.groups.find(
      ({ layer, expert, projection }) => layer === 3 && expert === 7 && projection === 'up_proj',
    )!;
    const metrics = { [weightDrift(group.name)]: 0.5 };
    const probe: TrainerEvent = { type: 'probe_completed', seq: 2, step: 9, stage: 0, wallTimeMs: 1, metrics };
    await store.createRun({ ...run, reason: '', trainer: null, createdMs: 1, startedMs: 1, endedMs: 2 });
    await store.append(runId, [start, probe]);
    expect(await runFindings(store, run)).toContainEqual(
      expect.objectContaining({ text: 'Weights moved most in layer 3 expert 7 up_proj (50.0 %).' }),
    );
  } finally {
    await store.close();
    rmSync(folder, { recursive: true });
  }
});

it('findings of a run with many changes of what is trained among 50,000 tensors are made', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-findings-'));
  const store = new EmbeddedStore(join(folder, 'plumbline.duckdb'));
  try {
    const names = Array.from({ length: 50_000 }, (_, i) => `model.language_model.layers.${i}.mlp.down_proj.weight`);
    await store.createRun({ ...run, reason: '', trainer: null, createdMs: 1, startedMs: 1, endedMs: 2 });
    await store.append(runId, [{ ...started(), trainable: names }]);
    for (let seq = 2; seq <= 21; seq++) {
      const [at, trainable] = [{ seq, step: seq, wallTimeMs: 1 }, names.slice(seq % 20)];
      const selection = { kind: 'groups' as const, groups: trainable };
      await store.append(runId, [{ ...at, type: 'trainable_changed', selection, trainable }]);
    }
    const texts = (await runFindings(store, run)).map(({ text }) => text);
    expect(texts.filter((text) => text.startsWith('From step '))).toHaveLength(20);
    expect(texts.join(' ')).toContain('From step 3 on 49997 groups were trained (49997 tensors)');
  } finally {
    await store.close();
    rmSync(folder, { recursive: true });
  }
});

it('findings count the values of a loss that were not finite, however thin its outline is', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-findings-'));
  const store = new EmbeddedStore(join(folder, 'plumbline.duckdb'));
  try {
    await store.createRun({ ...run, reason: '', trainer: null, createdMs: 1, startedMs: 1, endedMs: 2 });
    await store.append(runId, [
      started(),
      ...Array.from({ length: 50 }, (_, i): TrainerEvent => {
        const loss = [7, 20, 33].includes(i + 1) ? ('NaN' as const) : 4 - i / 100;
        const metrics = { 'train/loss': loss };
        return { type: 'step_completed', seq: i + 2, step: i + 1, stage: 0, wallTimeMs: i, metrics };
      }),
    ]);
    expect((await runFindings(store, run))[0]).toMatchObject({
      ...{ kind: 'diverged', step: 7 },
      text: 'The loss was not finite at 3 of 50 steps (7 to 33); it is finite again and ended at 3.51.',
    });
  } finally {
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  }
});
