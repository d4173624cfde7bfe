import type { RunId } from '@plumbline/shared/run';
import { bucketSteps, type HistoryRange, type WindowRange } from './event-store.js';

interface Query {
  sql: string;
  values: (string | number)[];
}

/**
 * SQL for the series of a run up to `lastSeq`, thinned inside the database: a row a metric, with its event numbers,
 * steps and values as lists in order of event number.
 * A series longer than `maxPoints` is cut into buckets of equal step width; of each bucket stay the first, last,
 * smallest and largest point (of equal ones the first) and the first that is NaN or infinite: five at most.
 */
export function historyQuery(runId: RunId, range: HistoryRange, lastSeq: number, lastStep: number): Query {
  const values: (string | number)[] = [];
  const bind = (value: string | number): string => `$${values.push(value)}`;
  const points = pointsOf(runId, range, bind, `AND seq <= ${bind(lastSeq)}`);
  const maxPoints = bind(range.maxPoints);
  const [from, width] = [bind(range.fromStep ?? 0), bind(bucketSteps(range, lastStep))];
  const sql = `
    WITH point AS MATERIALIZED (
      ${points}
    ), long AS MATERIALIZED (
      SELECT series_id FROM point GROUP BY series_id HAVING count(*) > ${maxPoints}
    ), bucketed AS (
      SELECT *, (step - ${from}::BIGINT) // ${width}::BIGINT AS bucket FROM point SEMI JOIN long USING (series_id)
    ), bounds AS MATERIALIZED (
      SELECT series_id, bucket, min(seq) AS first, max(seq) AS last, min(seq) FILTER (NOT isfinite(value)) AS odd,
        min(value) FILTER (isfinite(value)) AS smallest, max(value) FILTER (isfinite(value)) AS largest
      FROM bucketed GROUP BY series_id, bucket
    ), extremes AS (
      -- A second look for the first of equal values: several times faster than an arg_min that breaks ties.
      SELECT series_id, min(seq) FILTER (value = smallest) AS low, min(seq) FILTER (value = largest) AS high
      FROM bucketed JOIN bounds USING (series_id, bucket) WHERE value = smallest OR value = largest
      GROUP BY series_id, bucket
    ), kept AS (
      SELECT series_id, unnest([first, last, odd]) AS seq FROM bounds
      UNION SELECT series_id, unnest([low, high]) AS seq FROM extremes
    ), shown AS (
      SELECT series_id, seq, step, value, 0 AS width FROM point ANTI JOIN long USING (series_id)
      UNION ALL
      SELECT series_id, seq, step, value, ${width}::BIGINT AS width FROM point SEMI JOIN kept USING (series_id, seq)
    )
    SELECT metric, width, seqs, steps, numbers
    FROM series JOIN (
      SELECT series_id, any_value(width)::DOUBLE AS width, list(seq::DOUBLE ORDER BY seq) AS seqs, list(step::DOUBLE ORDER BY seq) AS steps,
        list(value ORDER BY seq) AS numbers
      FROM shown GROUP BY series_id
    ) USING (series_id)`;
  return { sql, values };
}

/** SQL for what the finite values of each series come to in windows of steps: a row a metric, columns as lists. */
export function windowsQuery(runId: RunId, range: WindowRange): Query {
  const values: (string | number)[] = [];
  const bind = (value: string | number): string => `$${values.push(value)}`;
  const points = pointsOf(runId, range, bind, 'AND isfinite(value)');
  const from = bind(range.fromStep ?? 0);
  const window = range.everySteps === undefined ? '0' : `(step - ${from}::BIGINT) // ${bind(range.everySteps)}::BIGINT`;
  const sql = `
    WITH point AS (
      ${points}
    ), windowed AS (
      SELECT series_id, ${window} AS number, count(*) AS n, min(value) AS low, max(value) AS high, avg(value) AS mean,
        arg_max(value, seq) AS last
      FROM point GROUP BY series_id, number
    )
    SELECT metric, from_steps, counts, minima, maxima, means, lasts
    FROM series JOIN (
      SELECT series_id,
        list((${from}::BIGINT + number * ${bind(range.everySteps ?? 1)}::BIGINT)::DOUBLE ORDER BY number) AS from_steps,
        list(n::DOUBLE ORDER BY number) AS counts, list(low ORDER BY number) AS minima,
        list(high ORDER BY number) AS maxima, list(mean ORDER BY number) AS means, list(last ORDER BY number) AS lasts
      FROM windowed GROUP BY series_id
    ) USING (series_id)`;
  return { sql, values };
}

function pointsOf(
  runId: RunId,
  { metrics, fromStep, toStep }: WindowRange,
  bind: (value: string | number) => string,
  also: string,
): string {
  const names = metrics ? `AND metric IN (${metrics.map(bind).join(', ') || 'NULL'})` : '';
  return `SELECT series_id, seq, step, value
      FROM points SEMI JOIN (FROM series WHERE run_id = ${bind(runId)} ${names}) USING (series_id)
      WHERE TRUE ${also}
        ${fromStep === undefined ? '' : `AND step >= ${bind(fromStep)}`}
        ${toStep === undefined ? '' : `AND step <= ${bind(toStep)}`}`;
}
