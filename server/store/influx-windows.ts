import type { RunId } from '@plumbline/shared/run';
import { AnswerTooLargeError, type TakeSeries, type WindowRange, type Windows } from './event-store.js';
import type { InfluxClient, Row } from './influx-client.js';
import { positionAt } from './influx-lines.js';
import { askedFor, keyOf, pointsOf, seriesFilter, type Extent } from './influx-queries.js';
import { inBatches } from './series-batches.js';

const aggregates = ['count', 'min', 'max', 'mean', 'last'] as const;
type Figures = Partial<Record<(typeof aggregates)[number], number>>;

/** Windows held at a time, not counting those of one series. */
const batchWindows = 50_000;

/**
 * Count, minimum, maximum, mean and last of each window, aggregated by InfluxDB, a batch of series at a time.
 * @throws AnswerTooLargeError before anything is taken, ReadAbandonedError after `signal`
 */
export async function queryWindows(
  client: InfluxClient,
  runId: RunId,
  extent: Extent,
  range: WindowRange,
  take: TakeSeries<Windows>,
  signal?: AbortSignal,
): Promise<void> {
  const fromStep = range.fromStep ?? 0;
  const lastStep = Math.min(range.toStep ?? Infinity, extent.lastStep);
  const points = pointsOf(client.options.bucket, runId, extent, range);
  if (points === null) return;
  const width = Math.min(range.everySteps ?? Infinity, lastStep - fromStep + 1);
  const offset = (extent.baseSecond + fromStep) % width;
  const windowed = (metrics: readonly string[] | undefined): string =>
    `${points} |> ${seriesFilter(extent, { ...range, metrics }, false)} |> window(every: ${width}s, offset: ${offset}s)`;

  // Counts the windows of each series without holding them.
  const lengths = new Map<string, number>();
  let all = 0;
  const { metrics, maxValues = Infinity, maxSeriesValues = Infinity } = range;
  const isAsked = askedFor(metrics);
  await client.query(
    `${windowed(metrics)} |> count()`,
    (row) => {
      const metric = keyOf(row)?.metric;
      if (metric === undefined || !isAsked(metric)) return;
      const length = (lengths.get(metric) ?? 0) + 1;
      lengths.set(metric, length);
      if (++all > maxValues) throw new AnswerTooLargeError(maxValues);
      if (length > maxSeriesValues) throw new AnswerTooLargeError(maxSeriesValues, 'of one metric');
    },
    signal,
  );
  const batches = inBatches([...lengths.keys()], (metric) => lengths.get(metric)!, batchWindows);
  for (const batch of batches) {
    const found = new Map<string, Map<number, Figures>>();
    const isInBatch = askedFor(batch);
    const keep =
      (aggregate: (typeof aggregates)[number]) =>
      (row: Row): void => {
        const metric = keyOf(row)?.metric;
        if (metric === undefined || !isInBatch(metric)) return;
        const start = Math.max(fromStep, positionAt(extent.baseSecond, row('_start')).step);
        const windows = found.get(metric) ?? new Map<number, Figures>();
        found.set(metric, windows);
        const figures = windows.get(start) ?? {};
        windows.set(start, figures);
        figures[aggregate] = Number(row('_value'));
      };
    // With a single batch no filter by name is needed, and Flux is faster without.
    const asked = windowed(batches.length === 1 ? metrics : batch);
    await Promise.all(
      aggregates.map((aggregate) => client.query(`${asked} |> ${aggregate}()`, keep(aggregate), signal)),
    );
    for (const [metric, byStart] of found) await take(metric, toColumns(byStart));
  }
}

function toColumns(byStart: ReadonlyMap<number, Figures>): Windows {
  const fromSteps = Float64Array.from(byStart.keys()).sort();
  const column = (name: (typeof aggregates)[number]): Float64Array =>
    fromSteps.map((start) => byStart.get(start)![name] ?? NaN);
  return {
    ...{ fromSteps, counts: column('count'), minima: column('min'), maxima: column('max') },
    ...{ means: column('mean'), lasts: column('last') },
  };
}
