import { builtInDeclaration } from '@plumbline/shared/built-in/series';
import { expect, it } from 'vitest';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { CommandRecord } from '@plumbline/shared/command';
import { RunSummary } from '@plumbline/shared/run';
import type { ControlEvent, MetricEvent } from '@plumbline/shared/trainer-event';
import { RunStore } from '../../lib/run-store';
import { SeriesBuffer } from '../../lib/series-buffer';
import { comparisonOf, namesApart, ownCompared } from './comparison';

const probe = (seq: number, step: number, heldOut: number, target: number): MetricEvent => ({
  type: 'probe_completed',
  seq,
  step,
  stage: 0,
  wallTimeMs: 0,
  metrics: { 'held_out/mean/accuracy': heldOut, 'target/counting/accuracy': target, 'shift/kl': step / 100 },
});

/** As the built-in trainer declares them. */
const declared = (baseline: Record<string, number>) =>
  Object.keys(baseline).map((name, number) => ({ number, ...builtInDeclaration(name, baseline) }));

it('gives cost and results of a run against the base model', () => {
  const store = new RunStore();
  expect(comparisonOf(store)).toBeNull();
  store.run(
    RunSummary.parse({
      runId: 'run-1',
      description: describeRun(RunConfig.parse({ name: 'x', learningRate: 1e-3 })),
      parent: null,
      state: 'running',
      reason: '',
      trainer: null,
      trainerConnected: true,
      createdMs: 0,
      startedMs: 0,
      endedMs: null,
      lastStep: 30,
      lastSeq: 4,
    }),
  );
  expect(comparisonOf(store)).toMatchObject({ heldOut: undefined, forgetting: undefined, changes: [] });
  const baseline = { 'held_out/mean/accuracy': 95, 'target/counting/accuracy': 10, 'probe/questions_per_task': 100 };
  store.control([
    { type: 'run_started', seq: 1, step: 0, baseline, series: declared(baseline) } as unknown as ControlEvent,
  ]);
  store.metrics([probe(2, 10, 75, 40), probe(3, 20, 55, 70), probe(4, 30, 85, 90)]);
  store.commands([
    CommandRecord.parse({
      commandId: 'command-1',
      runId: 'run-1',
      action: { kind: 'set_learning_rate', learningRate: 2e-4 },
      author: 'dashboard',
      state: 'applied',
      receivedMs: 1,
      endedMs: 2,
      step: 20,
      before: null,
      after: null,
      reason: '',
    }),
  ]);
  expect(comparisonOf(store)).toEqual({
    training: { trains: { now: 'Full', began: '' }, rate: { now: '2e-4', began: 'began with 1e-3' } },
    heldOut: 85,
    lowestHeldOut: 55,
    forgetting: 10,
    recovered: 75,
    targetGains: [{ task: 'counting', points: 80 }],
    targetGain: 80,
    kl: 0.3,
    bias: undefined,
    energy: null,
    changes: ['lr 2e-4 at 20'],
    takenOver: [],
  });
});

it('measures a branch over its whole course', () => {
  const store = new RunStore();
  store.run(
    RunSummary.parse({
      ...{
        runId: 'run-2',
        description: describeRun(RunConfig.parse({ name: 'x' })),
        parent: { runId: 'run-1', checkpointId: 'step-20', step: 20 },
      },
      ...{ state: 'running', reason: '', trainer: null, trainerConnected: true, createdMs: 0, startedMs: 0 },
      ...{ endedMs: null, lastStep: 30, lastSeq: 2 },
    }),
  );
  const baseline = { 'held_out/mean/accuracy': 95, 'probe/questions_per_task': 100 };
  store.control([
    { type: 'run_started', seq: 1, step: 20, baseline, series: declared(baseline) } as unknown as ControlEvent,
  ]);
  store.metrics([probe(2, 30, 85, 90)]);
  const before = new SeriesBuffer();
  before.append(1, 10, 55);
  before.append(2, 20, 75);
  const columns = new Map([['held_out/mean/accuracy', before]]);
  store.pastIs({ ancestors: [], columns, stages: [], commands: [], inForce: [] });
  expect(comparisonOf(store)).toMatchObject({ heldOut: 85, lowestHeldOut: 55, recovered: 75, forgetting: 10 });
});

it('gives the gain of each task of a sequence, and the mean', () => {
  const store = new RunStore();
  store.run(
    RunSummary.parse({
      ...{
        runId: 'run-1',
        description: describeRun(RunConfig.parse({ name: 'x', tasks: ['counting', 'clock', 'counting'] })),
        parent: null,
      },
      ...{ state: 'finished', reason: '', trainer: null, trainerConnected: false, createdMs: 0, startedMs: 0 },
      ...{ endedMs: 1, lastStep: 30, lastSeq: 2 },
    }),
  );
  const baseline = { 'target/counting/accuracy': 10, 'target/clock/accuracy': 5 };
  store.control([
    { type: 'run_started', seq: 1, step: 0, baseline, series: declared(baseline) } as unknown as ControlEvent,
  ]);
  const last = { ...probe(2, 30, 80, 40), metrics: { 'target/counting/accuracy': 40, 'target/clock/accuracy': 65 } };
  store.metrics([last]);
  expect(comparisonOf(store)).toMatchObject({
    targetGains: [
      { task: 'counting', points: 30 },
      { task: 'clock', points: 60 },
    ],
    targetGain: 45,
  });
});

it('distinguishes runs of the same name by their ids', () => {
  const runs = ['a', 'b', 'a'].map((name, index) => ({ runId: `run-${index}`, description: { name } }));
  expect(namesApart(runs)).toEqual(['a (run-0)', 'b', 'a (run-2)']);
});

it('has no figures for series that a run does not have', () => {
  const store = new RunStore();
  store.run(
    RunSummary.parse({
      ...{ runId: 'run-1', description: { name: 'bare' }, parent: null, state: 'running', reason: '', trainer: null },
      ...{ trainerConnected: true, createdMs: 0, startedMs: 0, endedMs: null, lastStep: 3, lastSeq: 2 },
    }),
  );
  const selection = { kind: 'recipe', recipe: 'all' };
  const model = { recipes: [{ name: 'all', label: 'All of it', groups: [] }] };
  const started = { type: 'run_started', seq: 1, step: 0, baseline: {}, model, trainable: [] };
  store.control([{ ...started, selection } as unknown as ControlEvent]);
  expect(comparisonOf(store)).toMatchObject({
    ...{ targetGain: undefined, targetGains: [], heldOut: undefined, kl: undefined },
    training: { trains: { now: 'All of it', began: '' }, rate: null },
  });
});

it('compares the series of other trainers, those of more runs first', () => {
  const storeOf = (...names: string[]): RunStore => {
    const store = new RunStore();
    const run = { runId: 'run-1', description: { name: 'x' }, parent: null, state: 'running', reason: '' };
    const times = { createdMs: 0, startedMs: 0, endedMs: null, lastStep: 3, lastSeq: 4 };
    store.run(RunSummary.parse({ ...run, ...times, trainer: null, trainerConnected: true }));
    const series = names.map((name, number) => ({ number, name }));
    store.control([{ type: 'run_started', seq: 1, step: 0, baseline: {}, series } as unknown as ControlEvent]);
    return store;
  };
  const [first, second] = [storeOf('tokens', 'train_loss', 'shift/kl', 'eval/acc'), storeOf('eval/acc', 'drift/a')];
  expect(ownCompared([first, second])).toEqual(['eval/acc', 'train_loss']);
});
