import type { Victim } from './victim.js';

/**
 * One thing that a client, a file or a disk can do.
 * `run` does it and says in a sentence what was seen that must not be; null when all was as it should be. Whether the hub
 * lives, keeps what it acknowledged and serves its owner is looked at afterwards, of every attack.
 */
export interface Attack {
  name: string;
  run(victim: Victim): Promise<string | null>;
  /** For one that takes long by itself. */
  limitMs?: number;
}

/** How one attack ended. */
export interface Outcome {
  name: string;
  held: boolean;
  /** One sentence. */
  saw: string;
  peakMemoryMb: number;
  standstillMs: number;
  /** Processor time that the hub's main thread took in one go, at most; see Sampled. */
  busyMs: number;
}

/** The first thing that was seen, of several that were looked for. */
export const firstOf = (...seen: (string | null | false | undefined)[]): string | null =>
  seen.find((one): one is string => typeof one === 'string') ?? null;

/** In so many words, not more. */
export const short = (text: string, most = 160): string => {
  const line = JSON.stringify(text).slice(1, -1);
  return line.length > most ? `${line.slice(0, most)}… (${text.length} characters)` : line;
};
