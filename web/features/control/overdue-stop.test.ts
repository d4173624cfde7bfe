import { expect, it } from 'vitest';
import type { CommandRecord } from '@plumbline/shared/command';
import { untilOverdueMs } from './overdue-stop';

const record = (kind: 'stop' | 'pause', state: CommandRecord['state'], receivedMs: number) =>
  ({ action: { kind }, state, receivedMs }) as CommandRecord;

it('counts from the last stop, and only if it has not ended', () => {
  expect(untilOverdueMs([], 1000)).toBe(Infinity);
  expect(untilOverdueMs([record('pause', 'expired', 0)], 1000)).toBe(Infinity);
  expect(untilOverdueMs([record('stop', 'expired', 0)], 1000)).toBe(0);
  expect(untilOverdueMs([record('stop', 'expired', 0), record('stop', 'pending', 500)], 1000)).toBe(59_500);
  expect(untilOverdueMs([record('stop', 'pending', 500)], 100_000)).toBe(0);
  expect(untilOverdueMs([record('stop', 'applied', 500)], 100_000)).toBe(Infinity);
});

it('counts from the creation of a run whose trainer never connected', () => {
  const made = { state: 'created', trainerConnected: false, createdMs: 1000 } as const;
  expect(untilOverdueMs([], 2000, made)).toBe(29_000);
  expect(untilOverdueMs([], 60_000, made)).toBe(0);
  expect(untilOverdueMs([], 60_000, { ...made, trainerConnected: true })).toBe(Infinity);
  expect(untilOverdueMs([], 60_000, { ...made, state: 'running' })).toBe(Infinity);
});
