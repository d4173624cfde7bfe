import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RunId } from '@plumbline/shared/run';
import { RunDescription } from '@plumbline/shared/run-description';
import type { EventStore } from '../store/event-store.js';
import { DeletedIds } from './deleted-ids.js';
import { RunRecord } from './run-record.js';

beforeEach(() => void vi.useFakeTimers({ now: 1_700_000_000_000 }));
afterEach(() => void vi.useRealTimers());

function aRecord() {
  const told: (number | undefined)[] = [];
  const record = new RunRecord(RunId.parse('run-a'), {
    ...{ store: {} as EventStore, shared: null, deletedIds: new DeletedIds() },
    onChange: ({ run }) => told.push(run.refused?.count),
  });
  record.put({
    ...{
      runId: record.runId,
      description: RunDescription.parse({ name: 'x' }),
      parent: null,
      state: 'running',
      reason: '',
    },
    ...{ trainer: null, trainerConnected: true, createdMs: 0, startedMs: 0, endedMs: null, lastStep: 0, lastSeq: 0 },
  });
  return { record, told };
}

describe('refusals of a run', () => {
  it('are told at most once a second, and the last of a burst is told', () => {
    const { record, told } = aRecord();
    for (let i = 0; i < 100; i++) record.noteRefused(1, `refusal ${i}`);
    expect(told).toEqual([1]);
    vi.advanceTimersByTime(1000);
    expect(told).toEqual([1, 100]);
    expect(record.summary?.refused).toMatchObject({ count: 100, message: 'refusal 99' });
    vi.advanceTimersByTime(10_000);
    expect(told).toEqual([1, 100]);
  });

  it('are not told of a run that is gone', () => {
    const { record, told } = aRecord();
    for (let i = 0; i < 2; i++) record.noteRefused(1, 'x');
    record.clear();
    vi.advanceTimersByTime(10_000);
    expect(told).toEqual([1]);
  });
});
