import type { DuckDBValue } from '@duckdb/node-api';
import type { RunId } from '@plumbline/shared/run';
import type { HistoryRange } from './event-store.js';

/**
 * SQL for the series of a run up to `lastSeq`, thinned inside the database: a row a metric, with its event numbers,
 * steps, wall times and values as lists in order of event number.
 * A series longer than `maxPoints` is cut into buckets of equal step width; of each bucket stay the first, last,
 * smallest and largest point and the first that is NaN or infinite: five at most.
 */
export function historyQuery(
  runId: RunId,
  range: HistoryRange,
  lastSeq: number,
): { sql: string; values: DuckDBValue[] } {
  const values: DuckDBValue[] = [];
  const bind = (value: DuckDBValue): string => `$${values.push(value)}`;
  const conditions = [`seq <= ${bind(lastSeq)}`];
  if (range.fromStep !== undefined) conditions.push(`step >= ${bind(range.fromStep)}`);
  if (range.toStep !== undefined) conditions.push(`step <= ${bind(range.toStep)}`);
  const names = range.metrics ? `AND metric IN (${range.metrics.map(bind).join(', ') || 'NULL'})` : '';
  const maxPoints = bind(range.maxPoints);
  const buckets = bind(Math.max(1, Math.floor(range.maxPoints / 5)));
  const sql = `
    WITH point AS MATERIALIZED (
      SELECT series_id, seq, step, wall_time_ms, value
      FROM points SEMI JOIN (FROM series WHERE run_id = ${bind(runId)} ${names}) USING (series_id)
      WHERE ${conditions.join(' AND ')}
    ), extent AS (
      SELECT series_id, min(step) AS low, max(step) AS high, count(*) AS n FROM point GROUP BY series_id
    ), bucketed AS MATERIALIZED (
      SELECT point.*,
        CASE WHEN n > ${maxPoints} THEN ((step - low) * ${buckets}::BIGINT) // (high - low + 1) END AS bucket
      FROM point JOIN extent USING (series_id)
    ), kept AS (
      SELECT DISTINCT series_id, unnest([
        min(seq), max(seq),
        arg_min(seq, value) FILTER (isfinite(value)),
        arg_max(seq, value) FILTER (isfinite(value)),
        min(seq) FILTER (NOT isfinite(value))
      ]) AS seq
      FROM bucketed WHERE bucket IS NOT NULL GROUP BY series_id, bucket
    ), shown AS (
      SELECT series_id, seq, step, wall_time_ms, value FROM bucketed WHERE bucket IS NULL
      UNION ALL
      SELECT series_id, seq, step, wall_time_ms, value
      FROM bucketed SEMI JOIN kept USING (series_id, seq) WHERE bucket IS NOT NULL
    )
    SELECT metric, seqs, steps, wall_times_ms, numbers
    FROM series JOIN (
      SELECT series_id, list(seq::DOUBLE ORDER BY seq) AS seqs, list(step::DOUBLE ORDER BY seq) AS steps,
        list(wall_time_ms ORDER BY seq) AS wall_times_ms, list(value ORDER BY seq) AS numbers
      FROM shown GROUP BY series_id
    ) USING (series_id)`;
  return { sql, values };
}
