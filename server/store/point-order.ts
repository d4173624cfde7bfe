import { FileClosedError, type DuckDbFile } from './duckdb-file.js';

/*
 * Values arrive in `points` in the order in which trainers send them. Once there are many, they are moved to
 * `sorted_points` in order of series and event. There DuckDB skips other series, however many trainers wrote at the same
 * time. A move is one transaction: at any moment, and after any crash, a value is in exactly one of the tables.
 *
 * Moving also frees memory: while there are readers, DuckDB's heap grows by some bytes per row of a small commit. The
 * moved rows are written by one transaction, and the old rows are dropped with their overhead.
 *
 * A file of an older version has all values in `points`. They are moved the same way, in parts, oldest first.
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

/** Memory for sorting one row, in bytes. */
const bytesPerRow = 64;
/** Pause after a move, in multiples of its duration: most of the time belongs to trainers and readers. */
const restPerMove = 2;
const minRestMs = 20;

export class PointOrder {
  /** Rows in `points`. */
  #waiting = 0;
  #moving: Promise<void> | null = null;
  /** Number of rows in `points` at which a failed move is tried again. */
  #tryAgainAt = 0;
  #hasFailed = false;
  #closed = false;
  #rest: NodeJS.Timeout | null = null;
  readonly #rowsPerMove: number;

  /** @param onProblem called once when values cannot be moved */
  constructor(
    readonly file: DuckDbFile,
    readonly onProblem: (message: string) => void,
    rowsPerMove?: number,
  ) {
    this.#rowsPerMove = rowsPerMove ?? Math.floor(file.memoryBytes / bytesPerRow);
  }

  /** Begins when the file was opened. @param waiting number of rows in `points` */
  begin(waiting: number): void {
    this.#waiting = waiting;
    this.#next();
  }

  /** Counts rows that were committed to `points`. */
  added(rows: number): void {
    this.#waiting += rows;
    this.#next();
  }

  /** Sets the number of rows in `points` after a deletion. */
  counted(rows: number): void {
    this.#waiting = rows;
  }

  /** Runs work on `points` while no rows are moved. */
  async pause<T>(work: () => Promise<T>): Promise<T> {
    while (this.#moving) await this.#moving;
    const paused = work();
    this.#moving = paused.then(ended, ended).finally(() => {
      this.#moving = null;
      this.#next();
    });
    return paused;
  }

  /** Resolves when less than one move's worth of rows waits, or moving fails. */
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
        // Row ids are stable: no checkpoint renumbers rows during a writing transaction.
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
    // Moving resumes at the next opening.
    if (this.#closed || error instanceof FileClosedError) return;
    this.#tryAgainAt = Math.max(this.#tryAgainAt, this.#waiting + this.#rowsPerMove / 2);
    if (this.#hasFailed) return;
    this.#hasFailed = true;
    const cause = error instanceof Error ? error.message : String(error);
    this.onProblem(
      `${this.file.path}: values cannot be sorted (${cause}). Nothing is lost; reading old values takes longer. ` +
        'Sorting is tried again as more values arrive.',
    );
  }
}

const ended = (): void => undefined;
