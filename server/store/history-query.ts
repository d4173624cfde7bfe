import type { DuckDBValue } from '@duckdb/node-api';
import type { RunId } from '@plumbline/shared/run';
import type { HistoryRange } from './event-store.js';

/**
 * SQL for the series of a run up to `lastSeq`, ordered by metric and event number, thinned inside the database.
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
      SELECT metric, seq, step, wall_time_ms, value
      FROM points JOIN series USING (series_id)
      WHERE run_id = ${bind(runId)} ${names} AND ${conditions.join(' AND ')}
    ), extent AS (
      SELECT metric, min(step) AS low, max(step) AS high, count(*) AS n FROM point GROUP BY metric
    ), bucketed AS MATERIALIZED (
      SELECT point.*, CASE WHEN n > ${maxPoints} THEN ((step - low) * ${buckets}::BIGINT) // (high - low + 1) END AS bucket
      FROM point JOIN extent USING (metric)
    ), kept AS (
      SELECT DISTINCT metric, unnest([
        min(seq), max(seq),
        arg_min(seq, value) FILTER (isfinite(value)),
        arg_max(seq, value) FILTER (isfinite(value)),
        min(seq) FILTER (NOT isfinite(value))
      ]) AS seq
      FROM bucketed WHERE bucket IS NOT NULL GROUP BY metric, bucket
    )
    SELECT metric, seq::DOUBLE, step::DOUBLE, wall_time_ms, value FROM bucketed
    WHERE bucket IS NULL OR (metric, seq) IN (SELECT (metric, seq) FROM kept)
    ORDER BY metric, seq`;
  return { sql, values };
}
