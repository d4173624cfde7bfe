import {
  BIGINT,
  DOUBLE,
  VARCHAR,
  type DuckDBConnection,
  type DuckDBDataChunk,
  type DuckDBResult,
  type DuckDBType,
  type DuckDBValue,
} from '@duckdb/node-api';
import { Turn } from '../turn.js';
import { interruptMs, type Checkpoints } from './checkpoints.js';
import { ReadInterruptedError } from './event-store.js';

/**
 * Values to bind, with their types. Without a type DuckDB's client binds whole numbers as 32-bit integers and truncates
 * larger ones silently.
 */
export function bound(values: readonly (string | number)[]): [DuckDBValue[], DuckDBType[]] {
  const isWhole = (value: string | number): value is number => Number.isSafeInteger(value);
  return [
    values.map((value) => (isWhole(value) ? BigInt(value) : value)),
    values.map((value) => (typeof value === 'string' ? VARCHAR : isWhole(value) ? BIGINT : DOUBLE)),
  ];
}

/** Whether more rows are wanted; nothing said is yes. */
type Taken = boolean | void;

/** What a Reader has to do with checkpoints. */
export interface ReadTurns {
  checkpoints: Checkpoints;
  /** The read answers a client. */
  isOfClient: boolean;
}

/** Reads through one connection, until it is ended. No query is open while part of an answer is handed over. */
export class Reader {
  /** Whether DuckDB failed; other errors come from the reader. */
  fileFailed = false;
  /** Whether part of an answer was handed over or written to a file: the read cannot be repeated. */
  wasTaken = false;
  readonly #turn = new Turn();

  constructor(
    readonly connection: DuckDBConnection,
    readonly signal = new AbortController().signal,
    /** None where the connection has a transaction of its own. */
    readonly turns: ReadTurns | null = null,
  ) {}

  /** All rows of a small answer. */
  async rows(sql: string, values: readonly (string | number)[] = []): Promise<DuckDBValue[][]> {
    const found = await this.#query(() => this.#ask(this.connection.runAndReadAll(sql, ...bound(values))));
    return found.getRows();
  }

  /** As `rows`, for an answer of any length: its rows are converted about 2,000 at a time. */
  manyRows(sql: string, values: readonly (string | number)[] = []): Promise<DuckDBValue[][]> {
    return this.fold(
      sql,
      values,
      () => [] as DuckDBValue[][],
      (rows, chunk) => void rows.push(...chunk.getRows()),
    );
  }

  /** Runs a statement that copies the whole file. @throws the signal's reason, ReadInterruptedError when it was interrupted once */
  async copy(sql: string): Promise<void> {
    // It may have been aborted between statements, where there is nothing to interrupt.
    this.signal.throwIfAborted();
    await this.#query(() => this.#ask(this.connection.run(sql)), true);
  }

  /**
   * Puts an answer together, about 2,000 rows at a time; no more are read when `add` says `false`.
   * @param begin what rows are added to; called again when the query begins anew
   * @throws the signal's reason when the read is ended; ReadInterruptedError when the query was interrupted twice
   */
  fold<T>(
    sql: string,
    values: readonly (string | number)[],
    begin: () => T,
    add: (into: T, chunk: DuckDBDataChunk) => Taken,
  ): Promise<T> {
    return this.#query(async () => {
      const into = begin();
      const result = await this.#ask(this.connection.stream(sql, ...bound(values)));
      let isAtEnd = false;
      try {
        for (;;) {
          this.signal.throwIfAborted();
          const chunk = await this.#ask(result.fetchChunk());
          isAtEnd = !chunk || chunk.rowCount === 0;
          if (!chunk || isAtEnd || add(into, chunk) === false) return into;
        }
      } finally {
        if (!isAtEnd) await this.#drop(result);
      }
    });
  }

  /**
   * Hands over part of an answer and waits until it is taken. Yields the event loop where many parts follow one another.
   * @throws the signal's reason at once when the read is ended
   */
  async hand<T>(take: () => T | Promise<T>): Promise<T> {
    if (this.#turn.isOver) await this.#turn.next();
    this.signal.throwIfAborted();
    this.wasTaken = true;
    let end: () => void = () => undefined;
    const ended = new Promise<never>((_resolve, reject) => {
      end = () => reject(this.signal.reason as Error);
      this.signal.addEventListener('abort', end, { once: true });
    });
    try {
      return await Promise.race([take(), ended]);
    } finally {
      this.signal.removeEventListener('abort', end);
    }
  }

  /**
   * Releases an answer that was not read to its end. Until its garbage collection it would block every checkpoint, and so
   * the closing of the file. The next query on a connection ends the previous one.
   */
  async #drop(result: DuckDBResult): Promise<void> {
    this.connection.interrupt();
    const next = (): Promise<DuckDBDataChunk | null> => result.fetchChunk().catch(() => null);
    for (let chunk = await next(); chunk && chunk.rowCount > 0;) chunk = await next();
    // If it is interrupted itself, it has done its work.
    await this.connection.run('SELECT 1').catch(() => undefined);
  }

  /** A query from its beginning to its end, when it is its turn. */
  async #query<T>(ask: () => Promise<T>, isCopy = false): Promise<T> {
    const { signal } = this;
    const interrupt = (): void => this.connection.interrupt();
    // DuckDB does not see an interruption that comes just before the query begins.
    let again: NodeJS.Timeout | undefined;
    const onAbort = (): void => void (again = setInterval(interrupt, interruptMs));
    signal.addEventListener('abort', onAbort, { once: true });
    try {
      if (!this.turns) return await ask();
      const { checkpoints, isOfClient } = this.turns;
      return await checkpoints.query(ask, { signal, isOfClient, isCopy, interrupt });
    } catch (error) {
      if (error instanceof ReadInterruptedError) this.fileFailed = false;
      throw error;
    } finally {
      clearInterval(again);
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #ask<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      this.fileFailed = true;
      throw error;
    }
  }
}
