import type { DuckDBValue } from '@duckdb/node-api';
import { inTurns } from '../turn.js';

/** Reads rows of the store's file: on a reader's connection, or in the transaction of a commit. */
type Ask = (sql: string, values: readonly string[]) => Promise<DuckDBValue[][]>;

/** Most names held for all runs together. The least recently used runs are dropped and read again when needed. */
const maxHeld = 200_000;

/** Series ids of each run by metric, loaded at the first use of a run. */
export class SeriesIds {
  /** Ids by run, in order of last use. */
  readonly #runs = new Map<string, Map<string, number>>();

  /** @param lastId the highest id in the file */
  constructor(private lastId: number) {}

  /**
   * Ids of a run by metric; `add` updates the map.
   * @param ask in a commit, reads by its transaction: a reader may have to wait until commits have ended
   */
  async of(runId: string, ask: Ask): Promise<Map<string, number>> {
    const held = this.#use(runId);
    if (held) return held;
    const before = this.lastId;
    const rows = await ask('SELECT metric, series_id FROM series WHERE run_id = $1', [runId]);
    const ids = new Map<string, number>();
    await inTurns(([metric, id]: [string, number]) => void ids.set(metric, id))(rows as [string, number][]);
    const loaded = this.#use(runId);
    if (loaded) return loaded;
    // A commit may have added ids meanwhile that this read does not see.
    if (this.lastId === before) this.#runs.set(runId, ids);
    return ids;
  }

  /** Begins with no ids for a new run. */
  begin(runId: string): void {
    this.#runs.set(runId, new Map());
  }

  /** Adds a series. @param ids the result of `of` in this commit @returns the new id, which is cached before its commit */
  add(ids: Map<string, number>, metric: string): number {
    const id = ++this.lastId;
    ids.set(metric, id);
    return id;
  }

  forget(runId: string): void {
    this.#runs.delete(runId);
  }

  /** Drops the least recently used runs. Must not be called between an `add` and its commit, which would forget the id. */
  trim(): void {
    let held = [...this.#runs.values()].reduce((sum, { size }) => sum + size, 0);
    for (const [runId, { size }] of this.#runs) {
      if (held <= maxHeld) return;
      held -= size;
      this.forget(runId);
    }
  }

  #use(runId: string): Map<string, number> | undefined {
    const held = this.#runs.get(runId);
    if (!held) return undefined;
    this.#runs.delete(runId);
    this.#runs.set(runId, held);
    return held;
  }
}
