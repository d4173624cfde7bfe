import type { RunId } from '@plumbline/shared/run';
import { bucketSteps, type HistoryRange, type Series } from './event-store.js';
import type { InfluxClient, Row } from './influx-client.js';
import { positionAt } from './influx-lines.js';
import { askedFor, atMost, keyOf, pointsOf, seriesFilter, type Extent } from './influx-queries.js';

/**
 * Series of a run, thinned by InfluxDB: of each bucket it answers the smallest and largest point and the first that is
 * not finite, and of each series both ends. One query a selector, side by side, because that is what its storage
 * answers by itself; Flux that uses a table twice reads every point.
 */
export async function querySeries(
  client: InfluxClient,
  runId: RunId,
  extent: Extent,
  range: HistoryRange,
): Promise<Map<string, Series>> {
  const points = pointsOf(client.options.bucket, runId, extent, range);
  const found = new Map<string, Map<number, { step: number; value: number }>>();
  if (points === null) return new Map();
  const isAsked = askedFor(range.metrics);
  const take = atMost(range.maxValues);
  const takeOf =
    (isWanted: (metric: string) => boolean) =>
    (row: Row): void => {
      const metric = keyOf(row)?.metric;
      const { step, seq } = positionAt(extent.baseSecond, row('_time'));
      // A number above lastSeq: where a trainer's steps went down, time does not tell it.
      if (metric === undefined || !isWanted(metric) || seq > extent.lastSeq) return;
      const series = found.get(metric) ?? new Map<number, { step: number; value: number }>();
      found.set(metric, series);
      if (!series.has(seq)) take();
      series.set(seq, { step, value: Number(row('_value')) });
    };
  const { long, short, anyWords } = await lengthsOf(client, runId, extent, range);
  const kinds = anyWords ? [false, true] : [false];
  const width = bucketSteps(range, extent.lastStep);
  const queries: Promise<void>[] = [];
  if (long.size === 0 || short.length > 0)
    for (const words of kinds)
      queries.push(
        client.query(
          `${points} |> ${seriesFilter(long.size === 0 ? range.metrics : short, words)} |> drop(columns: ["_start", "_stop"])`,
          takeOf((metric) => isAsked(metric) && !long.has(metric)),
        ),
      );
  if (long.size > 0) {
    const offset = (extent.baseSecond + (range.fromStep ?? 0)) % width;
    const windows = `window(every: ${width}s, offset: ${offset}s)`;
    for (const words of kinds) {
      const asked = `${points} |> ${seriesFilter(short.length === 0 ? range.metrics : [...long], words)}`;
      const ofBuckets = words ? ['first'] : ['min', 'max'];
      for (const selection of [...ofBuckets.map((selector) => `${windows} |> ${selector}()`), 'first()', 'last()'])
        queries.push(
          client.query(
            `${asked} |> ${selection} |> drop(columns: ["_start", "_stop"])`,
            takeOf((metric) => long.has(metric)),
          ),
        );
    }
  }
  await Promise.all(queries);
  return new Map(
    [...found].map(([metric, bySeq]) => [metric, toSeries(bySeq, long.has(metric) ? width : 0, range.fromStep ?? 0)]),
  );
}

/**
 * Which series have more points than are asked for, and whether any has values that are not finite. InfluxDB takes as
 * long to count points as to find the smallest, so a series that is long by its first points alone is counted no further.
 */
async function lengthsOf(
  client: InfluxClient,
  runId: RunId,
  extent: Extent,
  range: HistoryRange,
): Promise<{ long: Set<string>; short: string[]; anyWords: boolean }> {
  // A series has no more points than its run has events.
  if (extent.lastSeq <= range.maxPoints) return { long: new Set(), short: [], anyWords: true };
  const { fromStep = 0, toStep = Infinity, metrics, maxPoints } = range;
  const isAsked = askedFor(metrics);
  const counts = new Map<string, number>();
  /** Adds what Flux answers for each series. */
  const ask = async (flux: string, of: (row: Row) => number): Promise<number> => {
    let answers = 0;
    await client.query(flux, (row) => {
      answers++;
      const metric = keyOf(row)?.metric;
      if (metric !== undefined && isAsked(metric)) counts.set(metric, (counts.get(metric) ?? 0) + of(row));
    });
    return answers;
  };
  const end = Math.min(toStep, fromStep + 4 * maxPoints);
  const whole = pointsOf(client.options.bucket, runId, extent, range);
  const beginning = pointsOf(client.options.bucket, runId, extent, { fromStep, toStep: end });
  const rest = pointsOf(client.options.bucket, runId, extent, { fromStep: end + 1, toStep });
  const number = (row: Row): number => Number(row('_value'));
  const [words] = await Promise.all([
    ask(`${whole} |> ${seriesFilter(metrics, true)} |> count()`, number),
    ask(`${beginning} |> ${seriesFilter(metrics, false)} |> count()`, number),
    // Names all there are, for next to nothing.
    ask(`${whole} |> ${seriesFilter(metrics, false)} |> first()`, () => 0),
  ]);
  const isLong = (metric: string): boolean => counts.get(metric)! > maxPoints;
  const unsure = [...counts.keys()].filter((metric) => !isLong(metric));
  if (unsure.length > 0 && rest !== null) await ask(`${rest} |> ${seriesFilter(unsure, false)} |> count()`, number);
  const all = [...counts.keys()];
  return {
    long: new Set(all.filter(isLong)),
    short: all.filter((metric) => !isLong(metric)),
    anyWords: words > 0,
  };
}

/**
 * Columns from points. Of those that InfluxDB answered stay the ones that a thinned series has: it answers the ends of
 * numbers and of words apart.
 */
function toSeries(bySeq: Map<number, { step: number; value: number }>, width: number, fromStep: number): Series {
  let points = [...bySeq].map(([seq, point]) => ({ seq, ...point })).sort((a, b) => a.seq - b.seq);
  if (width > 0) {
    const ends = new Set([points[0], points.at(-1)]);
    const buckets = new Map<number, typeof points>();
    for (const point of points) {
      const number = Math.floor((point.step - fromStep) / width);
      const bucket = buckets.get(number) ?? [];
      buckets.set(number, bucket);
      bucket.push(point);
    }
    points = [...buckets.values()].flatMap((bucket) => {
      const finite = bucket.filter(({ value }) => Number.isFinite(value));
      const smallest = Math.min(...finite.map(({ value }) => value));
      const largest = Math.max(...finite.map(({ value }) => value));
      const kept = new Set([
        bucket.find(({ value }) => !Number.isFinite(value)),
        ...[finite.find(({ value }) => value === smallest), finite.find(({ value }) => value === largest)],
      ]);
      return bucket.filter((point) => kept.has(point) || ends.has(point));
    });
  }
  return {
    seqs: Float64Array.from(points, ({ seq }) => seq),
    steps: Float64Array.from(points, ({ step }) => step),
    values: Float64Array.from(points, ({ value }) => value),
    bucketSteps: width,
  };
}
