import { describe, expect, it } from 'vitest';
import { metrics } from '@plumbline/shared/metric';
import { CheckpointId, progressOf, RunSummary } from '@plumbline/shared/run';
import { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { ControlEvent, MetricEvent } from '@plumbline/shared/trainer-event';
import { decimate } from '../charts/decimate';
import { peakLearningRate } from './changes';
import { RunStore } from './run-store';
import { SeriesBuffer } from './series-buffer';
import { trainingOf } from './settings';

const branchAt = (step: number): RunSummary =>
  RunSummary.parse({
    ...{ runId: 'branch', description: { name: 'Branch', probeEverySteps: 20 }, state: 'created', reason: '' },
    ...{ parent: { runId: 'parent', checkpointId: `step-${step}`, step }, trainer: null, trainerConnected: false },
    ...{ createdMs: 0, startedMs: null, endedMs: null, lastStep: 0, lastSeq: 0 },
  });
const probe = (step: number, heldOut: number): MetricEvent => ({
  ...{ type: 'probe_completed', seq: step + 1, step, wallTimeMs: step, stage: 0 },
  metrics: { [metrics.heldOutMean]: heldOut },
});
/** A branch whose parent was probed at these steps. */
function branch(at: number, probed: readonly number[]): RunStore {
  const store = new RunStore();
  store.run(branchAt(at));
  const measured = new SeriesBuffer();
  measured.merge({ seqs: [...probed], steps: [...probed], values: probed.map((step) => 95 - step), bucketSteps: 0 });
  store.pastIs({
    ...{ ancestors: [], stages: [], commands: [], inForce: [] },
    columns: new Map([[metrics.heldOutMean, measured]]),
  });
  return store;
}
/** The steps of each unbroken line of a branch’s past, as drawn. */
function lines(store: RunStore): number[][] {
  const { x, starts } = decimate(store.courseBefore(metrics.heldOutMean)!, 0, 1000, 1000);
  const drawn: number[][] = [];
  for (const [index, step] of x.entries())
    if (starts[index]) drawn.push([step]);
    else drawn.at(-1)!.push(step);
  return drawn;
}

describe('the course before a branch', () => {
  it('leads to the first value of the branch', () => {
    const store = branch(50, [0, 20, 40]);
    expect(lines(store)).toEqual([[0, 20, 40]]);
    store.metrics([probe(50, 44), probe(60, 40)]);
    expect(lines(store)).toEqual([[0, 20, 40, 50]]);
  });
  it('is a line if the parent was probed once before', () => {
    const store = branch(20, [0]);
    store.metrics([probe(20, 75)]);
    expect(lines(store)).toEqual([[0, 20]]);
  });
  it('ends with its own value if it has one at the branch point', () => {
    const store = branch(20, [0, 20]);
    store.metrics([probe(20, 70)]);
    expect(lines(store)).toEqual([[0, 20]]);
    expect([...store.courseBefore(metrics.heldOutMean)!.values.subarray(0, 2)]).toEqual([95, 75]);
  });
  it('ends if values are missing before the branch', () => {
    const store = branch(60, [0, 20]);
    store.metrics([probe(60, 30), probe(80, 25)]);
    expect(lines(store)).toEqual([[0, 20]]);
  });
  it('is undefined for a run without a parent', () => {
    const store = new RunStore();
    store.run({ ...branchAt(0), parent: null });
    store.metrics([probe(0, 95)]);
    expect(store.courseBefore(metrics.heldOutMean)).toBeUndefined();
  });
});

describe('the step of a run', () => {
  it('is the branch point for a branch that has sent no step, and its own last step after that', () => {
    const store = branch(1900, []);
    expect(store.runSummary!.lastStep).toBe(1900);
    store.run({ ...branchAt(1900), state: 'running', lastStep: 1912, lastSeq: 30 });
    expect(store.runSummary!.lastStep).toBe(1912);
  });
});

describe('the progress of a run', () => {
  it('ignores late progress, and still takes a later change', () => {
    const store = new RunStore();
    const run = { ...branchAt(0), parent: null, state: 'running' as const, lastStep: 5, lastSeq: 5, revision: 10 };
    store.run(run);
    const progress = (lastStep: number, revision: number) => ({
      ...progressOf(run),
      ...{ lastStep, lastSeq: lastStep, revision },
    });
    store.progress(progress(9, 12));
    store.progress(progress(7, 11));
    expect(store.runSummary).toMatchObject({ lastStep: 9, lastSeq: 9 });
    store.run({ ...run, reason: 'told late', lastStep: 8, lastSeq: 8, revision: 11 });
    expect(store.runSummary).toMatchObject({ reason: 'told late', lastStep: 9, lastSeq: 9 });
    store.run({ ...run, reason: 'older', revision: 9 });
    expect(store.runSummary).toMatchObject({ reason: 'told late' });
  });

  it('goes on after a restart of a hub whose clock went back', () => {
    const store = new RunStore();
    const run = { ...branchAt(0), parent: null, state: 'running' as const, lastStep: 5, lastSeq: 5, revision: 1000 };
    store.run(run);
    store.run({ ...run, state: 'paused', revision: 10 }, true);
    expect(store.runSummary).toMatchObject({ state: 'paused' });
    store.run({ ...run, state: 'running', revision: 11 });
    expect(store.runSummary).toMatchObject({ state: 'running' });
  });
});

describe('a series of which only the last values are needed', () => {
  it('holds no other values, however long the page is open', () => {
    const store = new RunStore();
    store.demand.showLast(['train/*']);
    for (let seq = 1; seq <= 1000; seq++)
      store.metrics([
        { type: 'step_completed', seq, step: seq, stage: 0, wallTimeMs: seq, metrics: { 'train/loss': seq } },
      ]);
    const { length, lastValue } = store.buffer('train/loss');
    expect(length).toBeLessThan(200);
    expect(lastValue).toBe(1000);
    store.demand.draw(['train/loss']);
    store.forget('train/loss');
    expect(store.buffer('train/loss').length).toBe(0);
  });
});

describe('a run that continues in a new segment', () => {
  const step = (seq: number, at: number): MetricEvent => ({
    ...{ type: 'step_completed', seq, step: at, stage: 0, wallTimeMs: seq, metrics: { 'train/loss': seq } },
  });
  it('drops superseded values and continues from the segment’s first step', () => {
    const store = new RunStore();
    store.run({ ...branchAt(0), parent: null, lastStep: 3, lastSeq: 4 });
    store.metrics([step(2, 1), step(3, 2), step(4, 3)]);
    store.control([{ type: 'segment_started', seq: 5, step: 1, fromStep: 1, wallTimeMs: 5 }]);
    expect(store.runSummary?.lastStep).toBe(1);
    store.metrics([step(6, 2)]);
    const { length, steps, values } = store.buffer('train/loss');
    expect([[...steps.subarray(0, length)], [...values.subarray(0, length)]]).toEqual([
      [1, 2],
      [2, 6],
    ]);
    expect(store.runSummary?.lastStep).toBe(2);
  });

  it('takes no superseded values from a late answer or batch', () => {
    const store = new RunStore();
    store.run({ ...branchAt(0), parent: null, lastStep: 3, lastSeq: 4 });
    store.control([{ type: 'segment_started', seq: 5, step: 1, fromStep: 1, wallTimeMs: 5 }]);
    store.metrics([step(2, 1), step(3, 2)]);
    const series = { 'train/loss': { seqs: [2, 3, 4], steps: [1, 2, 3], values: [2, 3, 4], bucketSteps: 0 } };
    store.history({ runId: branchAt(0).runId, lastSeq: 4, series });
    const { length, steps } = store.buffer('train/loss');
    expect([...steps.subarray(0, length)]).toEqual([1]);
  });

  it('has no superseded commands in force', () => {
    const store = new RunStore();
    store.run({ ...branchAt(0), parent: null, lastStep: 9, lastSeq: 4 });
    const commandAt = (commandId: string, step: number) =>
      CommandRecord.parse({
        ...{ commandId, runId: 'branch', author: 'api', state: 'applied', receivedMs: 1, endedMs: 2, step, reason: '' },
        ...{ action: { kind: 'set_learning_rate', learningRate: 0.1 }, before: {}, after: {} },
      });
    const applied = (seq: number, commandId: string, step: number): ControlEvent => ({
      ...{ type: 'command_applied', seq, step, wallTimeMs: seq, before: {}, after: {} },
      commandId: CommandId.parse(commandId),
    });
    store.commands([commandAt('command-early', 2), commandAt('command-late', 6)]);
    store.control([applied(2, 'command-early', 2), applied(4, 'command-late', 6)]);
    expect(store.changesInForce).toHaveLength(2);
    store.control([{ type: 'segment_started', seq: 5, step: 4, fromStep: 4, wallTimeMs: 5 }]);
    expect(store.changesInForce.map(({ commandId }) => commandId)).toEqual(['command-early']);
  });

  it('has no change in force that came after the save of its checkpoint, at the same step', () => {
    const store = new RunStore();
    store.run({ ...branchAt(0), parent: null, lastStep: 9, lastSeq: 9 });
    const checkpointId = CheckpointId.parse('step-000004');
    const at = (seq: number, step = 4) => ({ seq, step, wallTimeMs: seq });
    const rate = (commandId: string, learningRate: number) =>
      CommandRecord.parse({
        ...{ commandId, runId: 'branch', author: 'api', state: 'applied', receivedMs: 1, endedMs: 2, step: 4 },
        ...{ action: { kind: 'set_learning_rate', learningRate }, before: {}, after: {}, reason: '' },
      });
    const applied = (seq: number, commandId: string): ControlEvent => ({
      ...{ type: 'command_applied', ...at(seq), before: {}, after: {}, commandId: CommandId.parse(commandId) },
    });
    const trains = (seq: number, name: string): ControlEvent => ({
      ...{ type: 'trainable_changed', ...at(seq), trainable: [name] },
      selection: { kind: 'pattern', pattern: name },
    });
    store.commands([rate('command-before', 0.1), rate('command-after', 0.2)]);
    store.control([
      applied(2, 'command-before'),
      trains(3, 'before'),
      { type: 'checkpoint_saved', ...at(4), checkpointId, bytes: 1 } as ControlEvent,
      applied(5, 'command-after'),
      trains(6, 'after'),
    ]);
    expect(peakLearningRate({}, store.changesInForce)).toBe(0.2);
    expect(store.trainable).toEqual(['after']);
    store.control([{ type: 'segment_started', ...at(10), fromStep: 4, checkpointId }]);
    expect(peakLearningRate({}, store.changesInForce)).toBe(0.1);
    expect(store.trainable).toEqual(['before']);
    expect(trainingOf(store).rate).toEqual({ now: '0.1', began: '' });
    store.commands([rate('command-since', 0.3)]);
    store.control([applied(11, 'command-since')]);
    expect(peakLearningRate({}, store.changesInForce)).toBe(0.3);
  });
});
