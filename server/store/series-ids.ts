import type { DuckDBValue } from '@duckdb/node-api';

/** Reads rows of the store's file. */
type Ask = (sql: string, values: readonly string[]) => Promise<DuckDBValue[][]>;

/** Names that are held for all runs together; the runs used longest ago are read again when they are wanted. */
const maxHeld = 200_000;

/** The ids of the series of each run by metric. Those of a run are read when it is first used. */
export class SeriesIds {
  /** By run, in order of their last use. */
  readonly #runs = new Map<string, Promise<Map<string, number>>>();
  /** How many names are held of each run that is loaded. */
  readonly #held = new Map<string, number>();

  /** @param lastId the highest id in the file */
  constructor(
    readonly ask: Ask,
    private lastId: number,
  ) {}

  /** The ids of a run by metric: the map is kept up to date by `add`. */
  of(runId: string): Promise<Map<string, number>> {
    const found = this.#runs.get(runId) ?? this.#load(runId);
    this.#runs.delete(runId);
    this.#runs.set(runId, found);
    return found;
  }

  /** A run that is new has none. */
  begin(runId: string): void {
    this.#runs.set(runId, Promise.resolve(new Map<string, number>()));
  }

  /** @param ids what `of` gave for the run. @returns the new id; it may be known before its commit */
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

  /** Lets go of runs used longest ago. Not to be called between an `add` and its commit, which would forget the id. */
  trim(): void {
    let held = [...this.#held.values()].reduce((sum, names) => sum + names, 0);
    for (const runId of this.#runs.keys()) {
      if (held <= maxHeld) return;
      held -= this.#held.get(runId) ?? 0;
      this.forget(runId);
    }
  }

  async #load(runId: string): Promise<Map<string, number>> {
    try {
      const rows = await this.ask('SELECT metric, series_id FROM series WHERE run_id = $1', [runId]);
      this.#held.set(runId, rows.length);
      return new Map(rows as [string, number][]);
    } catch (error) {
      this.#runs.delete(runId);
      throw error;
    }
  }
}
