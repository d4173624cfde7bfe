import { setTimeout as sleep } from 'node:timers/promises';
import type { Delivery } from './influx-client.js';

const firstRetryMs = 100;
const lastRetryMs = 2000;
const longestPauseMs = 5 * 60_000;

/** Half of the delay is random, so that hubs do not return to a server all at once. */
export const backoffMs = (attempt: number): number =>
  Math.min(lastRetryMs, firstRetryMs * 2 ** attempt) * (0.5 + Math.random() / 2);

/** Waits until the time is over or the signal stops it. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}

/**
 * Repeats a request until InfluxDB decides, with growing pauses or the ones that InfluxDB asks for.
 * @param ask makes one attempt; `again` is true from the second one on
 * @param onLater called with the reason of each failed attempt
 * @returns null when it was stopped first
 */
export async function insist<D extends Delivery>(
  ask: (again: boolean) => Promise<D>,
  { signal, onLater }: { signal: AbortSignal; onLater: (problem: string) => void },
): Promise<Exclude<D, { kind: 'later' }> | null> {
  for (let attempt = 0; !signal.aborted; attempt++) {
    const answer = await ask(attempt > 0);
    if (answer.kind !== 'later') return answer as Exclude<D, { kind: 'later' }>;
    // An aborted attempt says nothing about InfluxDB.
    if (signal.aborted) return null;
    onLater(answer.problem);
    await pause(Math.min(longestPauseMs, answer.retryMs ?? backoffMs(attempt)), signal);
  }
  return null;
}

export const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
