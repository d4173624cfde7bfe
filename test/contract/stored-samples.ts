import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { CommandRecord } from '@plumbline/shared/command';
import type { WireNumber } from '@plumbline/shared/metric';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import type { StoredRun } from '../../server/store/event-store.js';
import type { StoredEvent } from '../../server/store/protocol-1.js';

export const runId = RunId.parse('run-a');
export const storedRun = (id: RunId = runId, createdMs = 1000): StoredRun => ({
  runId: id,
  description: describeRun(RunConfig.parse({ name: 'contract' })),
  parent: null,
  state: 'created',
  reason: '',
  trainer: null,
  createdMs,
  startedMs: null,
  endedMs: null,
});
export const stepEvent = (seq: number, metrics: Record<string, WireNumber>, step = seq): TrainerEvent => ({
  type: 'step_completed',
  seq,
  step,
  stage: 0,
  wallTimeMs: 1_700_000_000_000 + seq,
  metrics,
});
export const lossEvents = (from: number, to: number): TrainerEvent[] =>
  Array.from({ length: to - from + 1 }, (_, i) => stepEvent(from + i, { 'train/loss': 1 / (from + i) }));
/** A pending pause, with the given changes. */
export const commandRecord = (commandId: string, given: Partial<CommandRecord> = {}): CommandRecord =>
  CommandRecord.parse({
    commandId,
    runId,
    action: { kind: 'pause' },
    author: 'dashboard',
    state: 'pending',
    receivedMs: 10,
    endedMs: null,
    step: null,
    before: null,
    after: null,
    reason: '',
    ...given,
  });

/** An event for comparison: metrics sorted by name, with -0 distinguished from 0; the rest as JSON. */
export const comparable = (event: StoredEvent): unknown => {
  if (!('metrics' in event)) return JSON.parse(JSON.stringify(event)) as unknown;
  const metrics = Object.entries(event.metrics).map(([name, value]) => [name, Object.is(value, -0) ? '-0' : value]);
  return { ...event, metrics: metrics.sort(([a], [b]) => (a! < b! ? -1 : 1)) };
};
