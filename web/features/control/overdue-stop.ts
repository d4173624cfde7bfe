import { stopOverdueMs } from '@plumbline/shared/taken-commands';
import type { CommandRecord } from '@plumbline/shared/command';
import { hasNoTrainerYet, type RunSummary } from '@plumbline/shared/run';

/** A trainer that starts on a slow machine has connected by then. */
const startMs = 30_000;

/**
 * The time until the page offers to end a run without its trainer, in ms; 0 for now, Infinity without a stop command.
 * If the trainer never connected, the hub allows it at once, but a trainer takes a while to start.
 */
export function untilOverdueMs(
  records: Iterable<CommandRecord>,
  nowMs: number,
  run: Pick<RunSummary, 'state' | 'trainerConnected' | 'createdMs'> | null = null,
): number {
  if (run && hasNoTrainerYet(run)) return Math.max(0, run.createdMs + startMs - nowMs);
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
