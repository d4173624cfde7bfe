import { describe, expect, it } from 'vitest';
import { CommandRecord, type CommandAction } from '@plumbline/shared/command';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { RunSummary } from '@plumbline/shared/run';
import { chartMarks, lineageMarks, stageMarks, timeline } from './timeline';

const record = (action: CommandAction, more: object): CommandRecord =>
  CommandRecord.parse({
    commandId: `command-${JSON.stringify(more).length}-${action.kind}`,
    runId: 'run-1',
    action,
    author: 'dashboard',
    state: 'applied',
    receivedMs: 100,
    endedMs: 110,
    step: 40,
    before: null,
    after: null,
    reason: '',
    ...more,
  });
const rate = record({ kind: 'set_learning_rate', learningRate: 1e-4 } as CommandAction, {
  before: { learningRate: 5e-4 },
  after: { learningRate: 1e-4 },
});
const refused = record(
  { kind: 'resume' },
  { state: 'rejected', step: null, reason: 'The run is not paused.', receivedMs: 200 },
);
const waiting = record({ kind: 'pause' }, { state: 'pending', step: null, receivedMs: 50 });
const saved: ControlEvent = {
  type: 'checkpoint_saved',
  seq: 9,
  step: 45,
  wallTimeMs: 150,
  checkpointId: 'step-45' as never,
  bytes: 2_500_000,
  digest: 'x',
};

describe('timeline', () => {
  it('has commands and the trainer’s own events, newest first, pending commands on top', () => {
    const entries = timeline([rate, refused, waiting], [saved], null);
    expect(entries.map(({ title }) => title)).toEqual([
      'Pause',
      'Resume',
      'Checkpoint saved',
      'Peak learning rate 1e-4',
    ]);
    expect(entries[3]!.details).toEqual(['learning rate 5e-4 → 1e-4']);
    expect(entries[1]).toMatchObject({ state: 'rejected', details: ['The run is not paused.'] });
  });

  it('says that a command changed nothing', () => {
    const idle = record({ kind: 'set_learning_rate', learningRate: 1e-4 } as CommandAction, {
      before: { learning_rate: 1e-4 },
      after: { learning_rate: 1e-4 },
    });
    expect(timeline([idle], [], null)[0]!.details).toEqual(['nothing changed']);
    expect(chartMarks([idle])).toEqual([]);
  });

  it('names the results of an evaluation as the key figures do', () => {
    const evaluated = record(
      { kind: 'evaluate_now' },
      { before: {}, after: { probed_step: 40, held_out_mean: 43.75 } },
    );
    expect(timeline([evaluated], [], null)[0]!.details).toEqual(['probed step 40', 'held-out accuracy 43.8 %']);
  });

  it('gives the cause of a rule’s command beside its outcome', () => {
    const ruled = record(
      { kind: 'lower_learning_rate', factor: 0.5 },
      {
        ...{ author: 'rule:Loss', cause: 'train/loss was 3 at step 40: above 1' },
        ...{ before: { learning_rate: 5e-4 }, after: { learning_rate: 2.5e-4 } },
      },
    );
    expect(timeline([ruled], [], null)).toMatchObject([
      {
        ...{ title: 'Peak learning rate × 0.5', author: 'rule:Loss', details: ['learning rate 5e-4 → 2.5e-4'] },
        cause: 'train/loss was 3 at step 40: above 1',
      },
    ]);
  });
});

const run = (runId: string, more: object = {}): RunSummary =>
  RunSummary.parse({
    runId,
    description: { name: runId, tasks: [{ name: 'clock', label: 'Clock reading', kind: 'target' }] },
    parent: null,
    state: 'running',
    reason: '',
    trainer: null,
    trainerConnected: false,
    createdMs: 0,
    startedMs: 0,
    endedMs: null,
    lastStep: 45,
    lastSeq: 9,
    ...more,
  });

describe('the end in the timeline', () => {
  const lost = run('run-1', {
    state: 'failed',
    reason: 'The trainer exited with code 1. Its log ends with:\nError: out of memory',
    endedMs: 500,
  });
  it('comes from the hub if the trainer died before it could send one', () => {
    expect(timeline([], [saved], lost)[0]).toMatchObject({
      title: 'Failed',
      state: 'event_failed',
      step: 45,
      wallTimeMs: 500,
      details: ['The trainer exited with code 1.'],
    });
    expect(timeline([], [saved], run('run-1', { state: 'stopped', endedMs: 500 }))[0]!.title).toBe('Stopped');
  });
  it('appears once if the trainer sent it, and not while the run continues', () => {
    const failed: ControlEvent = { type: 'run_failed', seq: 10, step: 45, wallTimeMs: 490, reason: 'loss is NaN' };
    expect(timeline([], [saved, failed], lost).map(({ title }) => title)).toEqual(['Failed', 'Checkpoint saved']);
    expect(timeline([], [saved], run('run-1'))).toHaveLength(1);
  });
});

describe('lineageMarks', () => {
  it('marks the branch points of a run, and the stages and changes before it', () => {
    const parent = run('parent');
    const child = run('child', { parent: { runId: 'parent', checkpointId: 'step-50', step: 50 } });
    const stage = {
      type: 'stage_started',
      seq: 3,
      step: 30,
      wallTimeMs: 0,
      stage: 1,
      task: 'clock',
      steps: 30,
    } as const;
    const past = {
      ...{ ancestors: [parent], columns: new Map(), stages: [{ run: parent, event: stage }] },
      ...{ commands: [{ run: parent, record: rate }], inForce: [] },
    };
    expect(lineageMarks(child, past, []).map(({ step, kind, label }) => [step, kind, label])).toEqual([
      [30, 'stage', 'parent: Stage 2: Clock reading'],
      [40, 'change', 'parent: Peak learning rate 1e-4 · learning rate 5e-4 → 1e-4'],
      [50, 'branch', 'branched from parent'],
    ]);
    expect(lineageMarks(parent, null, [child])).toMatchObject([{ step: 50, kind: 'branch' }]);
  });
});

describe('stageMarks', () => {
  it('marks the start of the next skills, not of the first', () => {
    const started = (stage: number, task: string, step: number): ControlEvent => ({
      ...{ type: 'stage_started', seq: stage + 1, step, wallTimeMs: 0, stage, task, steps: 100 },
    });
    expect(stageMarks([started(0, 'counting', 0), started(1, 'clock', 100)], run('run-1').description)).toEqual([
      { id: 'stage-2', step: 100, label: 'Stage 2: Clock reading', kind: 'stage' },
    ]);
  });
});

describe('chartMarks', () => {
  it('marks only what took effect, at its step', () => {
    expect(chartMarks([rate, refused, waiting])).toEqual([
      { id: rate.commandId, step: 40, kind: 'change', label: 'Peak learning rate 1e-4 · learning rate 5e-4 → 1e-4' },
    ]);
  });
});
