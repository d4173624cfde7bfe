import { stopOverdueMs, type CommandRecord } from '@plumbline/shared/command';

/**
 * How long until a run may be ended without its trainer, in ms; 0 when it may be now, Infinity while nobody has asked it to
 * stop.
 */
export function untilOverdueMs(records: Iterable<CommandRecord>, nowMs: number): number {
  const stop = [...records]
    .filter(({ action }) => action.kind === 'stop')
    .reduce<CommandRecord | undefined>(
      (last, each) => (last && last.receivedMs > each.receivedMs ? last : each),
      undefined,
    );
  if (stop?.state === 'expired') return 0;
  if (stop?.state === 'pending') return Math.max(0, stop.receivedMs + stopOverdueMs - nowMs);
  return Infinity;
}
