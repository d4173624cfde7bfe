import { expect, it } from 'vitest';
import type { CommandRecord } from '@plumbline/shared/command';
import { untilOverdueMs } from './overdue-stop';

const record = (kind: 'stop' | 'pause', state: CommandRecord['state'], receivedMs: number) =>
  ({ action: { kind }, state, receivedMs }) as CommandRecord;

it('counts from the last stop, and only where that has not ended', () => {
  expect(untilOverdueMs([], 1000)).toBe(Infinity);
  expect(untilOverdueMs([record('pause', 'expired', 0)], 1000)).toBe(Infinity);
  expect(untilOverdueMs([record('stop', 'expired', 0)], 1000)).toBe(0);
  expect(untilOverdueMs([record('stop', 'expired', 0), record('stop', 'pending', 500)], 1000)).toBe(59_500);
  expect(untilOverdueMs([record('stop', 'pending', 500)], 100_000)).toBe(0);
  expect(untilOverdueMs([record('stop', 'applied', 500)], 100_000)).toBe(Infinity);
});
