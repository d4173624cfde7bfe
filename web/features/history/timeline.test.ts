import { describe, expect, it } from 'vitest';
import { CommandRecord, type CommandAction } from '@plumbline/shared/command';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { chartMarks, timeline } from './timeline';

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
  it('has commands and the trainer’s own doings, newest first, what is pending on top', () => {
    const entries = timeline([rate, refused, waiting], [saved]);
    expect(entries.map(({ title }) => title)).toEqual(['Pause', 'Resume', 'Checkpoint saved', 'Learning rate 1e-4']);
    expect(entries[3]!.details).toEqual(['learning rate 5e-4 → 1e-4']);
    expect(entries[1]).toMatchObject({ state: 'rejected', details: ['The run is not paused.'] });
  });
});

describe('chartMarks', () => {
  it('marks only what took effect, at its step', () => {
    expect(chartMarks([rate, refused, waiting])).toEqual([
      { id: rate.commandId, step: 40, kind: 'change', label: 'Learning rate 1e-4 · learning rate 5e-4 → 1e-4' },
    ]);
  });
});
