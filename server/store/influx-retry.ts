import { setTimeout as sleep } from 'node:timers/promises';
import type { Delivery } from './influx-client.js';

const firstRetryMs = 100;
const lastRetryMs = 2000;
const longestPauseMs = 5 * 60_000;

/** Half of it at random, so that hubs do not come back to a server all at once. */
export const backoffMs = (attempt: number): number =>
  Math.min(lastRetryMs, firstRetryMs * 2 ** attempt) * (0.5 + Math.random() / 2);

/** Waits, or until it is stopped. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}

/**
 * Asks until InfluxDB has decided, with growing pauses or those that it asks for.
 * @param ask once; `again` when it was asked before
 * @param onLater told why of each attempt that came to nothing
 * @returns null when it was stopped before
 */
export async function insist<D extends Delivery>(
  ask: (again: boolean) => Promise<D>,
  { signal, onLater }: { signal: AbortSignal; onLater: (problem: string) => void },
): Promise<Exclude<D, { kind: 'later' }> | null> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    const answer = await ask(attempt > 0);
    if (answer.kind !== 'later') return answer as Exclude<D, { kind: 'later' }>;
    // What was broken off says nothing of InfluxDB.
    if (signal.aborted) return null;
    onLater(answer.problem);
    await pause(Math.min(longestPauseMs, answer.retryMs ?? backoffMs(attempt)), signal);
  }
  return null;
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
