import { largestMeasured } from '@plumbline/shared/metric';
import type { RunId } from '@plumbline/shared/run';
import { bucketSteps, decisive, type HistoryRange, type LargeEventRange, type WindowRange } from './event-store.js';
import { allPoints } from './point-order.js';

/** SQL for `isMeasured` of a point's value. DuckDB orders NaN above all numbers. */
const isMeasured = `abs(value) <= ${largestMeasured}::DOUBLE`;

interface Query {
  sql: string;
  values: (string | number)[];
}

/**
 * SQL for series up to `lastSeq`, thinned inside the database: a row per point (series, bucket width, event number, step,
 * value), in order of series and event number. Rows and not lists: DuckDB sorts rows on disk when memory is short.
 * A series longer than `maxPoints` is cut into buckets of equal step width; of each bucket stay the smallest and the
 * largest point (of equal ones the first) and the first that was not measured, and of the series both ends.
 * @param seriesIds not empty
 */
export function historyQuery(
  seriesIds: readonly number[],
  range: HistoryRange,
  lastSeq: number,
  lastStep: number,
): Query {
  const values: (string | number)[] = [];
  const bind = (value: string | number): string => `$${values.push(value)}`;
  const points = `FROM ${allPoints} WHERE seq <= ${bind(lastSeq)} AND ${between(seriesIds)} ${inSteps(range, bind)}`;
  const maxPoints = bind(range.maxPoints);
  const [from, width] = [bind(range.fromStep ?? 0), bind(bucketSteps(range, lastStep))];
  const bucket = `(step - ${from}::BIGINT) // ${width}::BIGINT`;
  // The points are read several times: a join of few rows with the table skips most of it, a join with a copy does not.
  const sql = `
    WITH bounds AS MATERIALIZED (
      SELECT series_id, ${bucket} AS bucket, count(*) AS n, min(seq) AS first, max(seq) AS last,
        min(seq) FILTER (NOT ${isMeasured}) AS odd,
        min(value) FILTER (${isMeasured}) AS smallest, max(value) FILTER (${isMeasured}) AS largest
      ${points} AND ${among(seriesIds)} GROUP BY series_id, bucket
    ), long AS MATERIALIZED (
      SELECT series_id FROM bounds GROUP BY series_id HAVING sum(n) > ${maxPoints}
    ), thinned AS MATERIALIZED (
      SELECT * FROM bounds SEMI JOIN long USING (series_id)
    ), extremes AS (
      -- A second look for the first of equal values: several times faster than an arg_min that breaks ties.
      SELECT series_id, min(seq) FILTER (value = smallest) AS low, min(seq) FILTER (value = largest) AS high
      FROM (
        SELECT series_id, ${bucket} AS bucket, seq, value
        FROM (${points}) SEMI JOIN (SELECT series_id, unnest([smallest, largest]) AS value FROM thinned)
          USING (series_id, value)
      ) JOIN thinned USING (series_id, bucket) WHERE value = smallest OR value = largest
      GROUP BY series_id, bucket
    ), kept AS (
      SELECT series_id, odd AS seq FROM thinned
      UNION SELECT series_id, unnest([min(first), max(last)]) AS seq FROM thinned GROUP BY series_id
      UNION SELECT series_id, unnest([low, high]) AS seq FROM extremes
    ), shown AS (
      SELECT *, 0 AS width FROM (${points})
      SEMI JOIN (SELECT DISTINCT series_id FROM bounds ANTI JOIN long USING (series_id)) USING (series_id)
      UNION ALL
      SELECT *, ${width}::BIGINT AS width FROM (${points}) SEMI JOIN kept USING (series_id, seq)
    )
    SELECT series_id, width::DOUBLE, seq::DOUBLE, step::DOUBLE, value FROM shown ORDER BY series_id, shown.seq`;
  return { sql, values };
}

/**
 * SQL for the measured values of each series in windows of steps: a row per window (series, first step, count, minimum,
 * maximum, mean, last), in order of series and step.
 */
export function windowsQuery(seriesIds: readonly number[], range: WindowRange): Query {
  const values: (string | number)[] = [];
  const bind = (value: string | number): string => `$${values.push(value)}`;
  const from = bind(range.fromStep ?? 0);
  const sql = `
    WITH windowed AS (
      SELECT series_id, ${windowOf(range, bind)} AS number, count(*) AS n, min(value) AS low, max(value) AS high, avg(value) AS mean,
        arg_max(value, seq) AS last
      FROM ${allPoints} WHERE ${isMeasured} AND ${among(seriesIds)} ${inSteps(range, bind)} GROUP BY series_id, number
    )
    SELECT series_id, (${from}::BIGINT + number * ${bind(range.everySteps ?? 1)}::BIGINT)::DOUBLE,
      n::DOUBLE, low, high, mean, last
    FROM windowed ORDER BY series_id, number`;
  return { sql, values };
}

/** SQL for the extents of series: a row per series with its number of points, first and last step. */
export function lengthsQuery(seriesIds: readonly number[], range: WindowRange, lastSeq: number): Query {
  const values: (string | number)[] = [];
  const bind = (value: string | number): string => `$${values.push(value)}`;
  const sql = `
    SELECT series_id, count(*)::DOUBLE, min(step)::DOUBLE, max(step)::DOUBLE FROM ${allPoints}
    WHERE seq <= ${bind(lastSeq)} AND ${among(seriesIds)} ${inSteps(range, bind)} GROUP BY series_id ORDER BY series_id`;
  return { sql, values };
}

/** SQL for the last points of series after event `afterSeq`: a row per series (series, event number, step, value). */
export function lastPointsQuery(
  seriesIds: readonly number[],
  range: Pick<WindowRange, 'segments'>,
  { afterSeq, lastSeq }: { afterSeq: number; lastSeq: number },
): Query {
  const values: (string | number)[] = [];
  const bind = (value: string | number): string => `$${values.push(value)}`;
  const sql = `
    SELECT series_id, max(seq)::DOUBLE, arg_max(step, seq)::DOUBLE, arg_max(value, seq) FROM ${allPoints}
    WHERE seq > ${bind(afterSeq)} AND seq <= ${bind(lastSeq)} AND ${among(seriesIds)} ${inSteps(range, bind)}
    GROUP BY series_id ORDER BY series_id`;
  return { sql, values };
}

/** SQL for the number of windows that `windowsQuery` returns: of all series, and of the longest one. */
export function windowsCount(seriesIds: readonly number[], range: WindowRange): Query {
  const values: (string | number)[] = [];
  const bind = (value: string | number): string => `$${values.push(value)}`;
  const sql = `
    SELECT coalesce(sum(n), 0)::DOUBLE, coalesce(max(n), 0)::DOUBLE FROM (
      SELECT count(*) AS n FROM (
        SELECT DISTINCT series_id, ${windowOf(range, bind)} AS number FROM ${allPoints}
        WHERE ${isMeasured} AND ${among(seriesIds)} ${inSteps(range, bind)}
      ) GROUP BY series_id
    )`;
  return { sql, values };
}

/** SQL for the newest large events of a range: a row per event (number, bytes, number of events in the range), newest first. */
export function largeEventsQuery(runId: RunId, range: LargeEventRange, lastSeq: number): Query {
  const values: (string | number)[] = [];
  const bind = (value: string | number): string => `$${values.push(value)}`;
  const { type, beforeSeq = Infinity, newest } = range;
  const sql = `
    SELECT seq::DOUBLE, bytes::DOUBLE, (count(*) OVER ())::DOUBLE FROM large_events
    WHERE run_id = ${bind(runId)} AND type = ${bind(type)} AND part = 0
      AND seq <= ${bind(Math.min(lastSeq, beforeSeq - 1))} ${inSteps(range, bind)}
    ORDER BY seq DESC LIMIT ${bind(newest)}`;
  return { sql, values };
}

/** SQL for the number of a point's window. */
const windowOf = ({ fromStep = 0, everySteps }: WindowRange, bind: (value: number) => string): string =>
  everySteps === undefined ? '0' : `(step - ${bind(fromStep)}::BIGINT) // ${bind(everySteps)}::BIGINT`;

/**
 * SQL for the points of these series. A list of ids and not a join with the table of series, which would cost as much as
 * reading the points. Neighbours need no list: DuckDB takes a hundred megabytes for one of 50,000 ids.
 */
const among = (seriesIds: readonly number[]): string => {
  const { first, last } = extentOf(seriesIds);
  const isWhole = last - first + 1 === seriesIds.length;
  return isWhole ? between(seriesIds) : `series_id IN (${seriesIds.join(', ')}) AND ${between(seriesIds)}`;
};

/** A range of ids: DuckDB skips row groups by a range, not by a list. Most series of a run have neighbouring ids. */
const between = (seriesIds: readonly number[]): string => {
  const { first, last } = extentOf(seriesIds);
  return `series_id BETWEEN ${first} AND ${last}`;
};

/** The lowest and the highest id. */
function extentOf(seriesIds: readonly number[]): { first: number; last: number } {
  let first = Infinity;
  let last = -Infinity;
  for (const id of seriesIds) {
    first = Math.min(first, id);
    last = Math.max(last, id);
  }
  return { first, last };
}

/** SQL for a range of steps without superseded points. */
function inSteps(
  { fromStep, toStep, segments }: Pick<WindowRange, 'fromStep' | 'toStep' | 'segments'>,
  bind: (value: number) => string,
): string {
  return [
    ...(fromStep === undefined ? [] : [`AND step >= ${bind(fromStep)}`]),
    ...(toStep === undefined ? [] : [`AND step <= ${bind(toStep)}`]),
    ...decisive(segments).map((segment) => `AND (seq >= ${segment.seq} OR step <= ${segment.fromStep})`),
  ].join(' ');
}
