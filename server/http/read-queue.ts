import { Refusal } from '../run/refusal.js';

export interface ReadQueueLimits {
  /** Most reads at a time. Of several, one client gets all but one at most. */
  places: number;
  /** Places of them that are kept for clients that the hub knows: sessions and trainers. */
  kept?: number;
  /** Most waiting reads of all clients; those that the hub knows may wait all the same. */
  waiting: number;
  /** Most waiting reads of one client. */
  waitingPerClient: number;
  /** Longest wait, after which a read is refused. */
  maxWaitMs: number;
}

/** Who reads. */
export interface ReadClient {
  name: string;
  /** It showed a session or the token. */
  isKnown: boolean;
}

interface Waiting {
  client: ReadClient;
  begin: () => void;
  refuse: (error: Error) => void;
}

/** Bounds of the Retry-After of a refused read, in seconds. */
const [leastRetryS, mostRetryS] = [1, 60];

/**
 * Limits heavy reads: a few run, some wait, and the rest are refused with the time when to try again. Clients take turns,
 * so a client with many requests does not hold up one with few.
 */
export class ReadQueue {
  /** Reads under way, each with its client. */
  readonly #reading = new Set<ReadClient>();
  /** Waiting reads by client, in the order of the clients' turns. */
  readonly #waiting = new Map<string, Waiting[]>();
  /** Mean duration of about the last ten reads. */
  #meanMs = 1000;

  /** @param hasRoom whether memory allows more than one read at a time */
  constructor(
    readonly limits: ReadQueueLimits,
    readonly hasRoom: () => boolean = () => true,
  ) {}

  get reading(): number {
    return this.#reading.size;
  }
  get waiting(): number {
    return [...this.#waiting.values()].reduce((sum, list) => sum + list.length, 0);
  }

  /**
   * Runs a read when it is the client's turn.
   * @param signal aborted when the client is gone: it leaves the queue
   * @throws Refusal `rate_limited` with the seconds after which to try again; the signal's reason
   */
  async run<T>(reader: ReadClient, signal: AbortSignal, read: () => Promise<T>): Promise<T> {
    // One object for each read.
    const client = { ...reader };
    if (this.#mayBegin(client)) this.#reading.add(client);
    else await this.#wait(client, signal);
    const startMs = performance.now();
    try {
      signal.throwIfAborted();
      return await read();
    } finally {
      this.#meanMs += (performance.now() - startMs - this.#meanMs) / 10;
      this.#reading.delete(client);
      this.#next();
    }
  }

  #mayBegin({ name, isKnown }: ReadClient): boolean {
    const { places, kept = 0 } = this.limits;
    const all = [...this.#reading];
    if (all.length === 0) return true;
    const known = all.filter((other) => other.isKnown).length;
    // Kept free, also while memory is short.
    if (isKnown && known < kept) return true;
    if (all.length >= places || !this.hasRoom()) return false;
    const open = isKnown ? places : places - kept;
    if (!isKnown && all.length - known >= open) return false;
    return all.filter((other) => other.name === name).length < Math.max(1, open - 1);
  }

  #wait(client: ReadClient, signal: AbortSignal): Promise<void> {
    const { waiting, waitingPerClient, maxWaitMs } = this.limits;
    const own = this.#waiting.get(client.name) ?? [];
    const isFull = !client.isKnown && this.waiting >= waiting;
    if (own.length >= waitingPerClient || isFull) throw this.#refusal('too many of them wait already');
    return new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        const left = (this.#waiting.get(client.name) ?? []).filter((other) => other !== entry);
        if (left.length > 0) this.#waiting.set(client.name, left);
        else this.#waiting.delete(client.name);
      };
      const entry: Waiting = {
        client,
        begin: () => {
          leave();
          this.#reading.add(client);
          resolve();
        },
        refuse: (error) => {
          leave();
          reject(error);
        },
      };
      const onAbort = (): void => entry.refuse(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      const timer = setTimeout(
        () => entry.refuse(this.#refusal(`it waited ${Math.round(maxWaitMs / 1000)} s for its turn`)),
        maxWaitMs,
      ).unref();
      this.#waiting.set(client.name, [...own, entry]);
    });
  }

  /** Starts waiting reads, the clients in turns. */
  #next(): void {
    for (const name of [...this.#waiting.keys()]) {
      const [first] = this.#waiting.get(name) ?? [];
      if (!first || !this.#mayBegin(first.client)) continue;
      first.begin();
      // Moves the client behind the others for its next turn.
      const rest = this.#waiting.get(name);
      this.#waiting.delete(name);
      if (rest) this.#waiting.set(name, rest);
    }
  }

  #refusal(why: string): Refusal {
    const seconds = Math.ceil((this.#meanMs * (this.waiting + 1)) / this.limits.places / 1000);
    const retryAfterS = Math.min(mostRetryS, Math.max(leastRetryS, seconds));
    return new Refusal(
      'rate_limited',
      `The hub answers ${this.limits.places} large reads at a time, and ${why}. Try again in ${retryAfterS} s.`,
      { retryAfterS },
    );
  }
}
