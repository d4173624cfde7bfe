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

/** Whether the reader wants more; `undefined` means yes. */
type Taken = boolean | void;

/** Reads through one connection until the signal ends it. */
export class Reader {
  /** Whether DuckDB failed; other errors come from the reader. */
  fileFailed = false;
  /** Whether part of an answer was handed over. */
  wasTaken = false;

  constructor(
    readonly connection: DuckDBConnection,
    readonly signal = new AbortController().signal,
  ) {}

  /** All rows of a small answer. */
  async rows(sql: string, values: readonly (string | number)[] = []): Promise<DuckDBValue[][]> {
    return (await this.#ask(this.connection.runAndReadAll(sql, ...bound(values)))).getRows();
  }

  /**
   * Reads an answer of any size, about 2,000 rows at a time. The next rows are read when `take` resolves, unless it
   * returns `false`.
   * @throws the signal's reason at once when the read is ended, also while `take` is under way
   */
  async chunks(
    sql: string,
    values: readonly (string | number)[],
    take: (chunk: DuckDBDataChunk) => Taken | Promise<Taken>,
  ): Promise<void> {
    const result = await this.#ask(this.connection.stream(sql, ...bound(values)));
    let isAtEnd = false;
    try {
      for (;;) {
        this.signal.throwIfAborted();
        const chunk = await this.#ask(result.fetchChunk());
        isAtEnd = !chunk || chunk.rowCount === 0;
        if (!chunk || isAtEnd) return;
        if ((await this.hand(() => take(chunk))) === false) return;
      }
    } finally {
      if (!isAtEnd) await this.#drop(result);
    }
  }

  /**
   * Hands over part of an answer and waits until it is taken.
   * @throws the signal's reason at once when the read is ended
   */
  async hand<T>(take: () => T | Promise<T>): Promise<T> {
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

  async #ask<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      this.fileFailed = true;
      throw error;
    }
  }
}
