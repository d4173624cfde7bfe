import { isMeasured } from '@plumbline/shared/metric';
import type { RunId } from '@plumbline/shared/run';
import {
  AnswerTooLargeError,
  bucketSteps,
  type HistoryRange,
  type LastPoint,
  type Series,
  type TakeSeries,
} from './event-store.js';
import type { InfluxClient, Row } from './influx-client.js';
import { positionAt } from './influx-lines.js';
import { askedFor, keyOf, pointsOf, seriesFilter, type Extent } from './influx-queries.js';
import { inBatches } from './series-batches.js';

/** Points held at a time, not counting those of one series. */
const batchPoints = 100_000;

/**
 * Reads series of a run, thinned by InfluxDB, a batch of series at a time: of each bucket the smallest and largest point
 * and the first non-finite one, and both ends of each series. There is one query per selector, side by side, because the
 * storage engine answers these itself; Flux that uses a table twice reads every point.
 * @throws AnswerTooLargeError before anything is taken, ReadAbandonedError after `signal`
 */
export async function querySeries(
  client: InfluxClient,
  runId: RunId,
  extent: Extent,
  range: HistoryRange,
  take: TakeSeries<Series>,
  signal?: AbortSignal,
): Promise<void> {
  if (pointsOf(client.options.bucket, runId, extent, range) === null) return;
  const lengths = await lengthsOf(client, runId, extent, range, signal);
  const heldOf = (metric: string): number => Math.min(lengths.counts.get(metric)!, range.maxPoints);
  const names = [...lengths.counts.keys()];
  const { maxValues = Infinity } = range;
  if (names.reduce((sum, metric) => sum + heldOf(metric), 0) > maxValues) throw new AnswerTooLargeError(maxValues);
  const batches = inBatches(names, heldOf, batchPoints);
  for (const batch of batches) {
    // With a single batch no filter by name is needed, and Flux is faster without.
    const metrics = batches.length === 1 ? range.metrics : batch;
    for (const [metric, series] of await queryBatch(client, runId, extent, { ...range, metrics }, lengths, signal))
      await take(metric, series);
  }
}

/**
 * The last point of each series. Numbers and words for what is not finite are series of their own in InfluxDB.
 * @throws ReadAbandonedError after `signal`
 */
export async function queryLastPoints(
  client: InfluxClient,
  runId: RunId,
  extent: Extent,
  range: Pick<HistoryRange, 'metrics' | 'segments'>,
  signal?: AbortSignal,
): Promise<Map<string, LastPoint>> {
  const last = new Map<string, LastPoint>();
  const points = pointsOf(client.options.bucket, runId, extent, {});
  if (points === null || range.metrics?.length === 0) return last;
  const isAsked = askedFor(range.metrics);
  const take = (row: Row): void => {
    const metric = keyOf(row)?.metric;
    if (metric === undefined || !isAsked(metric)) return;
    const { step, seq } = positionAt(extent.baseSecond, row('_time'));
    if (seq > (last.get(metric)?.seq ?? 0)) last.set(metric, { seq, step, value: Number(row('_value')) });
  };
  await Promise.all(
    [false, true].map((words) =>
      client.query(`${points} |> ${seriesFilter(extent, range, words)} |> last()`, take, signal),
    ),
  );
  return last;
}

async function queryBatch(
  client: InfluxClient,
  runId: RunId,
  extent: Extent,
  range: HistoryRange,
  { counts, anyWords }: Lengths,
  signal: AbortSignal | undefined,
): Promise<Map<string, Series>> {
  const points = pointsOf(client.options.bucket, runId, extent, range)!;
  const found = new Map<string, Map<number, { step: number; value: number }>>();
  const isAsked = askedFor(range.metrics);
  const takeOf =
    (isWanted: (metric: string) => boolean) =>
    (row: Row): void => {
      const metric = keyOf(row)?.metric;
      const { step, seq } = positionAt(extent.baseSecond, row('_time'));
      // Skips events after lastSeq: where steps go back, the time range does not exclude them.
      if (metric === undefined || !isAsked(metric) || !isWanted(metric) || seq > extent.lastSeq) return;
      const series = found.get(metric) ?? new Map<number, { step: number; value: number }>();
      found.set(metric, series);
      series.set(seq, { step, value: Number(row('_value')) });
    };
  const isLong = (metric: string): boolean => counts.get(metric)! > range.maxPoints;
  const known = range.metrics ?? [...counts.keys()];
  const long = known.filter((metric) => counts.has(metric) && isLong(metric));
  const short = known.filter((metric) => counts.has(metric) && !isLong(metric));
  const kinds = anyWords ? [false, true] : [false];
  const width = bucketSteps(range, extent.lastStep);
  const queries: Promise<void>[] = [];
  if (long.length === 0 || short.length > 0)
    for (const words of kinds)
      queries.push(
        client.query(
          `${points} |> ${seriesFilter(extent, { ...range, metrics: long.length === 0 ? range.metrics : short }, words)} |> drop(columns: ["_start", "_stop"])`,
          takeOf((metric) => !isLong(metric)),
          signal,
        ),
      );
  if (long.length > 0) {
    const offset = (extent.baseSecond + (range.fromStep ?? 0)) % width;
    const windows = `window(every: ${width}s, offset: ${offset}s)`;
    for (const words of kinds) {
      const asked = `${points} |> ${seriesFilter(extent, { ...range, metrics: short.length === 0 ? range.metrics : long }, words)}`;
      const ofBuckets = words ? ['first'] : ['min', 'max'];
      for (const selection of [...ofBuckets.map((selector) => `${windows} |> ${selector}()`), 'first()', 'last()'])
        queries.push(
          client.query(`${asked} |> ${selection} |> drop(columns: ["_start", "_stop"])`, takeOf(isLong), signal),
        );
    }
  }
  await Promise.all(queries);
  return new Map(
    [...found].map(([metric, bySeq]) => [metric, toSeries(bySeq, isLong(metric) ? width : 0, range.fromStep ?? 0)]),
  );
}

/** The requested series and how long they are, as far as that is known. */
interface Lengths {
  /** Upper bound of the points of each; for one longer than `maxPoints`, any number above that. */
  counts: Map<string, number>;
  /** Whether any may have non-finite values. */
  anyWords: boolean;
}

/**
 * Finds out how long series are. Counting points takes InfluxDB as long as finding the smallest, so a series that is long
 * by its first points alone is not counted further.
 */
async function lengthsOf(
  client: InfluxClient,
  runId: RunId,
  extent: Extent,
  range: HistoryRange,
  signal: AbortSignal | undefined,
): Promise<Lengths> {
  const { fromStep = 0, toStep = Infinity, metrics, maxPoints } = range;
  const isAsked = askedFor(metrics);
  const counts = new Map<string, number>();
  /** Adds the answer of a query to the count of each series. */
  const ask = async (flux: string, of: (row: Row) => number): Promise<number> => {
    let answers = 0;
    await client.query(
      flux,
      (row) => {
        answers++;
        const metric = keyOf(row)?.metric;
        if (metric !== undefined && isAsked(metric)) counts.set(metric, (counts.get(metric) ?? 0) + of(row));
      },
      signal,
    );
    return answers;
  };
  const whole = pointsOf(client.options.bucket, runId, extent, range);
  // A series has no more points than its run has events.
  if (extent.lastSeq <= maxPoints) {
    if (metrics && metrics.length * extent.lastSeq <= Math.min(batchPoints, range.maxValues ?? Infinity))
      for (const metric of metrics) counts.set(metric, extent.lastSeq);
    else
      for (const words of [false, true])
        await ask(`${whole} |> ${seriesFilter(extent, range, words)} |> count()`, (row) => Number(row('_value')));
    return { counts, anyWords: true };
  }
  const end = Math.min(toStep, fromStep + 4 * maxPoints);
  const beginning = pointsOf(client.options.bucket, runId, extent, { fromStep, toStep: end });
  const rest = pointsOf(client.options.bucket, runId, extent, { fromStep: end + 1, toStep });
  const number = (row: Row): number => Number(row('_value'));
  const [words] = await Promise.all([
    ask(`${whole} |> ${seriesFilter(extent, range, true)} |> count()`, number),
    ask(`${beginning} |> ${seriesFilter(extent, range, false)} |> count()`, number),
    ask(`${whole} |> ${seriesFilter(extent, range, false)} |> first()`, () => 0),
  ]);
  const unsure = [...counts].filter(([, count]) => count <= maxPoints).map(([metric]) => metric);
  if (unsure.length > 0 && rest !== null)
    await ask(`${rest} |> ${seriesFilter(extent, { ...range, metrics: unsure }, false)} |> count()`, number);
  return { counts, anyWords: words > 0 };
}

/**
 * Builds the columns of a series. Of a thinned series it keeps only the points that belong there: InfluxDB answers the
 * ends of numbers and of words separately.
 */
function toSeries(bySeq: Map<number, { step: number; value: number }>, width: number, fromStep: number): Series {
  // A typed array of numbers sorts several times faster than objects.
  let points = Array.from(Float64Array.from(bySeq.keys()).sort(), (seq) => ({ seq, ...bySeq.get(seq)! }));
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
      const measured = bucket.filter(({ value }) => isMeasured(value));
      const smallest = Math.min(...measured.map(({ value }) => value));
      const largest = Math.max(...measured.map(({ value }) => value));
      const kept = new Set([
        bucket.find(({ value }) => !isMeasured(value)),
        ...[measured.find(({ value }) => value === smallest), measured.find(({ value }) => value === largest)],
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
