import type { Held } from './acknowledged-ledger.js';
import type { Reader } from './duckdb-reader.js';
import { noPosition, type Position } from './event-store.js';

/** What a store loads from its file when it opens it. */
export interface Contents {
  /** Position of each run. */
  positions: Map<string, Position>;
  lastSeriesId: number;
  /** Number of values that wait to be sorted. */
  waiting: number;
  held: Held;
}

export async function readContents(reader: Reader): Promise<Contents> {
  const found = await reader.rows(
    'SELECT run_id, max(seq)::DOUBLE, arg_max(step, seq)::DOUBLE FROM events GROUP BY run_id',
  );
  const [[lastSeriesId]] = (await reader.rows('SELECT coalesce(max(series_id), 0) FROM series')) as [[number]];
  const [[waiting]] = (await reader.rows('SELECT count(*)::DOUBLE FROM points')) as [[number]];
  const positions = new Map(
    (found as [string, number, number][]).map(([runId, lastSeq, lastStep]) => [runId, { lastSeq, lastStep }]),
  );
  return { positions, lastSeriesId, waiting, held: await held(reader, positions) };
}

/** The file's own counts, to compare with the ledger. */
async function held(reader: Reader, positions: ReadonlyMap<string, Position>): Promise<Held> {
  const runs = await reader.rows('SELECT run_id FROM runs');
  const commands = await reader.rows('SELECT run_id, count(*)::DOUBLE FROM commands GROUP BY run_id');
  const deleted = await reader.rows('SELECT run_id FROM deleted_runs');
  const counts = new Map(commands as [string, number][]);
  const ids = new Set([...(runs as [string][]).map(([runId]) => runId), ...positions.keys()]);
  return {
    runs: new Map(
      [...ids].map((runId) => [runId, { ...(positions.get(runId) ?? noPosition), commands: counts.get(runId) ?? 0 }]),
    ),
    deleted: new Set((deleted as [string][]).map(([runId]) => runId)),
  };
}
