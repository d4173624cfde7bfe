import type { Victim } from './victim.js';

/**
 * An attack by a client, a file or a disk. `run` carries it out and returns a fault in a sentence, or null. After every
 * attack the runner checks that the hub lives, keeps acknowledged events and serves its owner.
 */
export interface Attack {
  name: string;
  run(victim: Victim): Promise<string | null>;
  /** For an attack that takes long by itself. */
  limitMs?: number;
}

/** The outcome of one attack. */
export interface Outcome {
  name: string;
  held: boolean;
  /** One sentence. */
  saw: string;
  peakMemoryMb: number;
  standstillMs: number;
  /** The longest processor time of the hub's main thread in one go; see Sampled. */
  busyMs: number;
  /** The longest wait of an honest trainer for an acknowledgement. */
  longestAckMs: number;
}

/** The first fault of several checks. */
export const firstOf = (...seen: (string | null | false | undefined)[]): string | null =>
  seen.find((one): one is string => typeof one === 'string') ?? null;

/** Shortens a text to one line of limited length. */
export const short = (text: string, most = 160): string => {
  const line = JSON.stringify(text).slice(1, -1);
  return line.length > most ? `${line.slice(0, most)}… (${text.length} characters)` : line;
};
