import { ReadInterruptedError } from './event-store.js';

/** Bytes of the write-ahead log from which a checkpoint is wanted. DuckDB's own limit is the same. */
export const checkpointBytes = 16 * 2 ** 20;
/** How long new queries wait at most, so that those under way can end. The log grows meanwhile; commits go on. */
const pauseMs = 500;
/** How often queries that have to end are interrupted until they have ended. */
export const interruptMs = 50;
/** Most queries of clients at a time, less the open transactions: each blocks one of Node's four threads, a commit needs one. */
const maxClientQueries = 3;

/** A query under way. */
interface Query {
  isInterrupted: boolean;
  isCopy: boolean;
  interrupt: () => void;
}

export interface QueryOptions {
  signal: AbortSignal;
  /** It answers a client, so it may be long. */
  isOfClient: boolean;
  /** It copies the whole file: beside it the log may grow further, and it cannot begin anew on what it has written. */
  isCopy: boolean;
  interrupt: () => void;
}

export interface CheckpointLimits {
  /** Bytes of the log from which a checkpoint is taken as soon as no query is under way. */
  wantedBytes: number;
  /** Bytes of the log from which queries under way are interrupted for one. */
  maxBytes: number;
  /** The same while a copy of the file is under way: one takes long, and an interrupted one fails. */
  maxBytesBesideCopy: number;
}

/**
 * Decides when a DuckDB file takes a checkpoint. A checkpoint waits for each query under way, and commits wait for the
 * checkpoint. So none is part of a commit: one is taken between two commits, while no query is under way. Where queries
 * follow one another without end, new ones wait for a moment. A log that has grown to its limit interrupts them; each
 * begins anew after the checkpoint.
 */
export class Checkpoints {
  readonly #queries = new Set<Query>();
  #clientQueries = 0;
  #transactions = 0;
  /** New queries wait: for a moment, or until the checkpoint is taken. */
  #isPaused = false;
  #pause: NodeJS.Timeout | null = null;
  /** Bytes of the log with which queries are paused next. */
  #pauseAtBytes: number;
  /** Whoever waits to begin. */
  readonly #waiting = new Set<() => void>();

  /** @param onIdle the last query has ended */
  constructor(
    readonly limits: CheckpointLimits,
    readonly onIdle: () => void,
  ) {
    this.#pauseAtBytes = limits.wantedBytes;
  }

  /**
   * Runs a query when no checkpoint is due, and once more when a checkpoint has interrupted it.
   * @throws ReadInterruptedError when it was interrupted twice, a copy once; the signal's reason
   */
  async query<T>(ask: () => Promise<T>, { signal, isOfClient, isCopy, interrupt }: QueryOptions): Promise<T> {
    for (let isAgain = false; ; isAgain = true) {
      while (this.#isPaused || (isOfClient && this.#isCrowded)) await this.#wait(signal);
      const query: Query = { isInterrupted: false, isCopy, interrupt };
      this.#queries.add(query);
      if (isOfClient) this.#clientQueries++;
      try {
        return await ask();
      } catch (error) {
        if (!query.isInterrupted || signal.aborted) throw error;
        if (isAgain || isCopy) throw new ReadInterruptedError();
      } finally {
        this.#queries.delete(query);
        if (isOfClient) this.#clientQueries--;
        this.#ended();
      }
    }
  }

  /** Keeps checkpoints away while `work` has a transaction of its own open. @throws the signal's reason */
  async transaction<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    while (this.#isPaused) await this.#wait(signal);
    this.#transactions++;
    try {
      return await work();
    } finally {
      this.#transactions--;
      this.#ended();
    }
  }

  /** Whether no query and no transaction is under way. */
  get isIdle(): boolean {
    return this.#queries.size === 0 && this.#transactions === 0;
  }

  get #isCrowded(): boolean {
    return this.#clientQueries >= maxClientQueries - this.#transactions;
  }

  /** Whether a checkpoint is due as soon as no query is under way. */
  isWanted(logBytes: number): boolean {
    return logBytes >= this.limits.wantedBytes;
  }

  /**
   * To be asked between two commits: whether a checkpoint is to be taken now. No query begins then before `taken`.
   * @param logBytes size of the write-ahead log
   */
  async isTurn(logBytes: number): Promise<boolean> {
    if (!this.isWanted(logBytes)) return false;
    const isCopying = [...this.#queries].some(({ isCopy }) => isCopy);
    const isFull = logBytes >= (isCopying ? this.limits.maxBytesBesideCopy : this.limits.maxBytes);
    // It ends by itself, with a commit that waits for its turn.
    if (this.#transactions > 0) return false;
    if (isFull) {
      this.#keepWaiting();
      await this.#interruptAll();
    }
    if (this.#queries.size === 0) {
      this.#keepWaiting();
      return true;
    }
    // A copy outlasts every pause.
    if (isCopying || logBytes < this.#pauseAtBytes) return false;
    this.#pauseAtBytes = logBytes + this.limits.wantedBytes;
    this.#isPaused = true;
    this.#pause ??= setTimeout(() => this.#goOn(), pauseMs).unref();
    return false;
  }

  /** The checkpoint was taken or has failed: queries go on. */
  taken(): void {
    this.#pauseAtBytes = this.limits.wantedBytes;
    this.#goOn();
  }

  async #interruptAll(): Promise<void> {
    const interrupt = (): void => {
      for (const query of this.#queries) {
        query.isInterrupted = true;
        query.interrupt();
      }
    };
    interrupt();
    // DuckDB does not see an interruption that comes just before the query begins.
    const again = setInterval(interrupt, interruptMs);
    while (this.#queries.size > 0) await this.#wait();
    clearInterval(again);
  }

  /** Nothing begins until a checkpoint was taken. */
  #keepWaiting(): void {
    if (this.#pause) clearTimeout(this.#pause);
    this.#pause = null;
    this.#isPaused = true;
  }

  #goOn(): void {
    this.#keepWaiting();
    this.#isPaused = false;
    this.#wake();
  }

  #ended(): void {
    this.#wake();
    if (this.isIdle) this.onIdle();
  }

  #wake(): void {
    for (const go of [...this.#waiting]) go();
  }

  /** Until something has changed. @throws the signal's reason */
  #wait(signal?: AbortSignal): Promise<void> {
    return new Promise<void>((resolve, reject) => {
      if (signal?.aborted) return void reject(signal.reason as Error);
      const end = (): void => {
        this.#waiting.delete(go);
        signal?.removeEventListener('abort', abort);
      };
      const go = (): void => {
        end();
        resolve();
      };
      const abort = (): void => {
        end();
        reject(signal!.reason as Error);
      };
      this.#waiting.add(go);
      signal?.addEventListener('abort', abort, { once: true });
    });
  }
}
