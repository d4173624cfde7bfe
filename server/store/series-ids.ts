import type { DuckDBValue } from '@duckdb/node-api';

/** Reads rows of the store's file. */
type Ask = (sql: string, values: readonly string[]) => Promise<DuckDBValue[][]>;

/** Most names held for all runs together. The least recently used runs are dropped and read again when needed. */
const maxHeld = 200_000;

/** Series ids of each run by metric, loaded at the first use of a run. */
export class SeriesIds {
  /** Ids by run, in order of last use. */
  readonly #runs = new Map<string, Promise<Map<string, number>>>();
  /** Number of names held of each loaded run. */
  readonly #held = new Map<string, number>();

  /** @param lastId the highest id in the file */
  constructor(
    readonly ask: Ask,
    private lastId: number,
  ) {}

  /** Ids of a run by metric; `add` updates the map. */
  of(runId: string): Promise<Map<string, number>> {
    const found = this.#runs.get(runId) ?? this.#read(runId);
    this.#runs.delete(runId);
    this.#runs.set(runId, found);
    return found;
  }

  /** Begins with no ids for a new run. */
  begin(runId: string): void {
    this.#runs.set(runId, Promise.resolve(new Map<string, number>()));
  }

  /** Adds a series. @param ids the result of `of` for the run @returns the new id, which is cached before its commit */
  add(runId: string, ids: Map<string, number>, metric: string): number {
    const id = ++this.lastId;
    ids.set(metric, id);
    this.#held.set(runId, ids.size);
    return id;
  }

  forget(runId: string): void {
    this.#runs.delete(runId);
    this.#held.delete(runId);
  }

  /** Drops the least recently used runs. Must not be called between an `add` and its commit, which would forget the id. */
  trim(): void {
    let held = [...this.#held.values()].reduce((sum, names) => sum + names, 0);
    for (const runId of this.#runs.keys()) {
      if (held <= maxHeld) return;
      held -= this.#held.get(runId) ?? 0;
      this.forget(runId);
    }
  }

  #read(runId: string): Promise<Map<string, number>> {
    const ids = this.ask('SELECT metric, series_id FROM series WHERE run_id = $1', [runId]).then(
      (rows) => new Map(rows as [string, number][]),
    );
    // A run that is trimmed or forgotten meanwhile is not held.
    const isHeld = (): boolean => this.#runs.get(runId) === ids;
    ids.then(
      ({ size }) => isHeld() && this.#held.set(runId, size),
      () => isHeld() && this.#runs.delete(runId),
    );
    return ids;
  }
}
