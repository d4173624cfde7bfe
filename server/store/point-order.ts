import { FileClosedError, type DuckDbFile } from './duckdb-file.js';

/*
 * Values arrive in `points` in the order in which trainers send them. Once there are many, they are moved to
 * `sorted_points` in order of series and event: there DuckDB skips what is of other series, however many trainers sent at
 * the same time. A move is one transaction: a value is in one of the tables at any moment, and after any crash.
 *
 * It also frees memory: beside readers, DuckDB's heap grows by some bytes for each row of a small commit. The moved rows
 * are written by one transaction, and the old ones are dropped with what was kept of them.
 *
 * A file of an older version has all its values in `points`. They are moved in the same way, part by part, oldest first.
 */
export const pointOrderSchema = `
  CREATE TABLE IF NOT EXISTS sorted_points (
    series_id INTEGER NOT NULL, seq BIGINT NOT NULL, step BIGINT NOT NULL, value DOUBLE NOT NULL
  );
`;

/** All values, wherever they are. */
export const allPoints = `(
  SELECT series_id, seq, step, value FROM sorted_points UNION ALL SELECT series_id, seq, step, value FROM points
) AS all_points`;

/** Bytes of memory for sorting one row. */
const bytesPerRow = 64;
/** After a move, the next waits for as long as this many of it took: most of the time is for trainers and readers. */
const restPerMove = 2;
const minRestMs = 20;

export class PointOrder {
  /** Rows in `points`. */
  #waiting = 0;
  #moving: Promise<void> | null = null;
  /** Rows in `points` with which a move that failed is tried again. */
  #tryAgainAt = 0;
  #hasFailed = false;
  #closed = false;
  #rest: NodeJS.Timeout | null = null;
  readonly #rowsPerMove: number;

  /** @param onProblem told once when values cannot be moved */
  constructor(
    readonly file: DuckDbFile,
    readonly onProblem: (message: string) => void,
    rowsPerMove?: number,
  ) {
    this.#rowsPerMove = rowsPerMove ?? Math.floor(file.memoryBytes / bytesPerRow);
  }

  /** The file was opened. @param waiting rows in `points` */
  begin(waiting: number): void {
    this.#waiting = waiting;
    this.#next();
  }

  /** Rows were committed to `points`. */
  added(rows: number): void {
    this.#waiting += rows;
    this.#next();
  }

  /** So many rows are in `points`, after rows were deleted. */
  counted(rows: number): void {
    this.#waiting = rows;
  }

  /** Does something to rows of `points` while none is being moved. */
  async pause<T>(work: () => Promise<T>): Promise<T> {
    while (this.#moving) await this.#moving;
    const paused = work();
    this.#moving = paused.then(ended, ended).finally(() => {
      this.#moving = null;
      this.#next();
    });
    return paused;
  }

  /** Resolves when no more than one move's worth of rows waits, or moving fails. */
  async settled(): Promise<void> {
    while (this.#moving ?? this.#rest) await (this.#moving ?? new Promise((resolve) => setTimeout(resolve, minRestMs)));
  }

  close(): void {
    if (this.#rest) clearTimeout(this.#rest);
    this.#rest = null;
    this.#closed = true;
  }

  #next(): void {
    if (this.#closed || this.#moving || this.#rest) return;
    if (this.#waiting < Math.max(this.#rowsPerMove, this.#tryAgainAt)) return;
    const startMs = performance.now();
    this.#moving = this.#move().finally(() => {
      this.#moving = null;
      if (this.#closed) return;
      const restMs = Math.max(minRestMs, restPerMove * (performance.now() - startMs));
      this.#rest = setTimeout(() => {
        this.#rest = null;
        this.#next();
      }, restMs).unref();
    });
  }

  async #move(): Promise<void> {
    try {
      const moved = await this.file.beside(async (reader) => {
        const [[first]] = (await reader.rows('SELECT min(rowid)::DOUBLE FROM points')) as [[number | null]];
        if (first === null) return 0;
        const last = first + this.#rowsPerMove - 1;
        // No checkpoint gives rows other numbers while a transaction is writing.
        const [[inserted]] = (await reader.rows(
          `INSERT INTO sorted_points SELECT * FROM points WHERE rowid <= ${last} ORDER BY series_id, seq`,
        )) as [[bigint]];
        const [[deleted]] = (await reader.rows(`DELETE FROM points WHERE rowid <= ${last}`)) as [[bigint]];
        if (inserted !== deleted) throw new Error(`${inserted} values were copied and ${deleted} removed`);
        return Number(deleted);
      });
      this.#waiting -= moved;
      this.#tryAgainAt = 0;
      this.#hasFailed = false;
    } catch (error) {
      this.#failed(error);
    }
  }

  #failed(error: unknown): void {
    // The next opening goes on.
    if (this.#closed || error instanceof FileClosedError) return;
    this.#tryAgainAt = Math.max(this.#tryAgainAt, this.#waiting + this.#rowsPerMove / 2);
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    const cause = error instanceof Error ? error.message : String(error);
    this.onProblem(
      `${this.file.path}: values cannot be put in order (${cause}). None is lost; reading old ones takes longer. ` +
        'It is tried again as more arrive.',
    );
  }
}

const ended = (): void => undefined;
