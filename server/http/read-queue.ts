import { Refusal } from '../run/refusal.js';

export interface ReadQueueLimits {
  /** Most reads at a time. Of several, one client gets all but one at most. */
  places: number;
  /** Most waiting reads of all clients. */
  waiting: number;
  /** Most waiting reads of one client. */
  waitingPerClient: number;
  /** Longest wait, after which a read is refused. */
  maxWaitMs: number;
}

interface Waiting {
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
  #reading = new Map<string, number>();
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
    return [...this.#reading.values()].reduce((sum, count) => sum + count, 0);
  }
  get waiting(): number {
    return [...this.#waiting.values()].reduce((sum, list) => sum + list.length, 0);
  }

  /**
   * Runs a read when it is the client's turn.
   * @param signal aborted when the client is gone: it leaves the queue
   * @throws Refusal `rate_limited` with the seconds after which to try again; the signal's reason
   */
  async run<T>(client: string, signal: AbortSignal, read: () => Promise<T>): Promise<T> {
    if (!this.#mayBegin(client)) await this.#wait(client, signal);
    else this.#begin(client);
    const startMs = performance.now();
    try {
      signal.throwIfAborted();
      return await read();
    } finally {
      this.#meanMs += (performance.now() - startMs - this.#meanMs) / 10;
      const others = this.#reading.get(client)! - 1;
      if (others > 0) this.#reading.set(client, others);
      else this.#reading.delete(client);
      this.#next();
    }
  }

  #mayBegin(client: string): boolean {
    const { places } = this.limits;
    const reading = this.reading;
    if (reading === 0) return true;
    if (reading >= places || !this.hasRoom()) return false;
    return (this.#reading.get(client) ?? 0) < Math.max(1, places - 1);
  }

  #begin(client: string): void {
    this.#reading.set(client, (this.#reading.get(client) ?? 0) + 1);
  }

  #wait(client: string, signal: AbortSignal): Promise<void> {
    const { waiting, waitingPerClient, maxWaitMs } = this.limits;
    const own = this.#waiting.get(client) ?? [];
    if (own.length >= waitingPerClient || this.waiting >= waiting) throw this.#refusal('too many of them wait already');
    return new Promise<void>((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        const left = (this.#waiting.get(client) ?? []).filter((other) => other !== entry);
        if (left.length > 0) this.#waiting.set(client, left);
        else this.#waiting.delete(client);
      };
      const entry: Waiting = {
        begin: () => {
          leave();
          this.#begin(client);
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
      this.#waiting.set(client, [...own, entry]);
    });
  }

  /** Starts waiting reads, the clients in turns. */
  #next(): void {
    for (const client of [...this.#waiting.keys()]) {
      const [first] = this.#waiting.get(client) ?? [];
      if (!first || !this.#mayBegin(client)) continue;
      first.begin();
      // Moves the client behind the others for its next turn.
      const rest = this.#waiting.get(client);
      this.#waiting.delete(client);
      if (rest) this.#waiting.set(client, rest);
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
