import {
  toWireNumber,
  fromWireNumber,
  wallTimeSeries,
  type WireMetrics,
  type WireNumber,
} from '@plumbline/shared/metric';
import { isLargeEvent, largeEventTypes } from '@plumbline/shared/large-event-notice';
import { recordOf } from '@plumbline/shared/record';
import type { RunId } from '@plumbline/shared/run';
import { isMetricEvent, type MetricEvent } from '@plumbline/shared/trainer-event';
import { Turn } from '../turn.js';
import type { Transaction } from './duckdb-file.js';
import type { Reader } from './duckdb-reader.js';
import { addLargeText, maxPageBytes, readLargeTexts } from './embedded-large-events.js';
import type { ControlEventOptions, TakeTexts } from './event-store.js';
import { allPoints } from './point-order.js';
import { upToDateText, type StoredEvent } from './protocol-1.js';
import { inBatches } from './series-batches.js';
import type { SeriesIds } from './series-ids.js';

/** Values of metric events in one page of `readEventPage`, not counting its first event. */
const maxPageValues = 50_000;
/**
 * Longer texts of control events are stored in parts. DuckDB reads 2,048 rows at a time, so a query holds as many texts
 * of this length. Older files have texts of up to 100,000 characters in `events`.
 */
const maxPayloadLength = 4000;
const largeTypes = largeEventTypes.map((type) => `'${type}'`).join(', ');

/** Adds the rows of new events of a run. @returns the number of values in them */
export async function addEvents(
  transaction: Transaction,
  runId: RunId,
  events: readonly StoredEvent[],
  series: SeriesIds,
): Promise<number> {
  const eventRows = await transaction.rowsOf('events');
  const pointRows = await transaction.rowsOf('points');
  const ids = await series.of(runId, async (sql, values) => (await transaction.run(sql, values)).getRows());
  /** The id may be cached before the commit: a failed transaction reloads everything. */
  const addSeries = async (metric: string): Promise<number> => {
    const id = series.add(ids, metric);
    (await transaction.rowsOf('series')).append([id, runId, metric]);
    return id;
  };
  let written = 0;
  const turn = new Turn();
  for (const event of events) {
    if (turn.isOver) await turn.next();
    const seq = BigInt(event.seq);
    const step = BigInt(event.step);
    const isMetric = isMetricEvent(event);
    const stage = isMetric ? BigInt(event.stage) : null;
    const text = isMetric ? null : JSON.stringify(event);
    const isInParts = text !== null && (isLargeEvent(event) || text.length > maxPayloadLength);
    eventRows.append([runId, seq, step, stage, event.wallTimeMs, event.type, isInParts ? null : text]);
    if (isInParts) await addLargeText(transaction, runId, event, text);
    if (!isMetric) continue;
    const points: [string, WireNumber][] = Object.entries(event.metrics);
    if (event.type === 'step_completed') points.push([wallTimeSeries, event.wallTimeMs]);
    for (const [metric, value] of points) {
      const id = ids.get(metric) ?? (await addSeries(metric));
      pointRows.append([id, seq, step, fromWireNumber(value)]);
    }
    written += points.length;
  }
  return written;
}

/**
 * Reads events of a run from `fromSeq` to `toSeq`, in order: as many as fit into one page, and at least the first.
 * @returns metric events, and all others as JSON texts
 */
export async function readEventPage(
  reader: Reader,
  runId: RunId,
  fromSeq: number,
  toSeq: number,
): Promise<(MetricEvent | string)[]> {
  // Ends at the event with which the texts become too long. The lengths are read first, without the texts.
  const found = await reader.rows(
    `WITH lengths AS MATERIALIZED (
       SELECT seq, strlen(payload) AS length FROM events
       WHERE run_id = $1 AND payload IS NOT NULL AND seq BETWEEN $2 AND $3
       UNION ALL
       SELECT seq, bytes FROM large_events WHERE run_id = $1 AND part = 0 AND seq BETWEEN $2 AND $3),
       longer AS (SELECT seq, sum(length) OVER (ORDER BY seq) AS bytes FROM lengths)
     SELECT seq::DOUBLE, step::DOUBLE, stage::DOUBLE, wall_time_ms, type, payload FROM events
     WHERE run_id = $1 AND seq BETWEEN $2 AND coalesce((SELECT min(seq) FROM longer WHERE bytes > $4), $3)`,
    [runId, fromSeq, toSeq, maxPageBytes],
  );
  // Sorted here: DuckDB would hold the texts several times while sorting.
  found.sort(([a], [b]) => (a as number) - (b as number));
  const lastFound = (found.at(-1)?.[0] as number | undefined) ?? 0;
  const large = await readLargeTexts(reader, runId, fromSeq, lastFound);
  const { metrics, endSeq } = await readMetrics(reader, runId, fromSeq, lastFound);
  return found
    .filter(([seq]) => (seq as number) < endSeq)
    .map(([seq, step, stage, wallTimeMs, type, payload]) => {
      const text = payload ?? large.get(seq as number);
      if (text !== undefined) return text as string;
      return {
        type,
        seq,
        step,
        stage,
        wallTimeMs,
        metrics: metrics.get(seq as number) ?? recordOf(),
      } as MetricEvent;
    });
}

/**
 * Values of events, in order of their event: where there are too many, the events from `endSeq` on are left out.
 */
async function readMetrics(
  reader: Reader,
  runId: RunId,
  fromSeq: number,
  toSeq: number,
): Promise<{ metrics: Map<number, WireMetrics>; endSeq: number }> {
  return reader.fold(
    `SELECT seq::DOUBLE, metric, value FROM ${allPoints} JOIN series USING (series_id)
     WHERE run_id = $1 AND seq BETWEEN $2 AND $3 AND metric <> $4 ORDER BY seq, metric`,
    [runId, fromSeq, toSeq, wallTimeSeries],
    () => ({ metrics: new Map<number, WireMetrics>(), endSeq: Infinity, count: 0 }),
    (page, chunk) => {
      const [seqs, names, numbers] = chunk.getColumns() as [number[], string[], number[]];
      for (const [i, seq] of seqs.entries()) {
        const isNew = !page.metrics.has(seq);
        if (isNew && page.count > maxPageValues) {
          page.endSeq = seq;
          return false;
        }
        if (isNew) page.metrics.set(seq, recordOf());
        page.metrics.get(seq)![names[i]!] = toWireNumber(numbers[i]!);
        page.count++;
      }
      return true;
    },
  );
}

/** Control events of a run up to `lastSeq`, in order, as texts in the words of today's protocol. */
export async function eachControlText(
  reader: Reader,
  runId: RunId,
  lastSeq: number,
  take: TakeTexts,
  { types, isOutline = false }: ControlEventOptions,
): Promise<void> {
  const ofTypes = types ? `AND type IN (${types.map((type) => `'${type}'`).join(', ')})` : '';
  const where = `run_id = $1 AND payload IS NOT NULL AND seq BETWEEN $2 AND $3 ${ofTypes}`;
  const isControl = `type NOT IN (${largeTypes}) ${ofTypes}`;
  // Sorts lengths and not long texts: DuckDB holds texts several times while sorting.
  const lengths = (await reader.rows(
    `SELECT seq::DOUBLE, strlen(payload)::DOUBLE FROM events WHERE ${where}
     UNION ALL
     SELECT seq::DOUBLE, bytes::DOUBLE FROM large_events
     WHERE run_id = $1 AND part = 0 AND seq BETWEEN $2 AND $3 AND ${isControl}
     ORDER BY 1`,
    [runId, 1, lastSeq],
  )) as [seq: number, bytes: number][];
  for (const page of inBatches(lengths, ([, bytes]) => bytes, maxPageBytes)) {
    const [[first], [last]] = [page[0]!, page.at(-1)!];
    const texts = await readLargeTexts(reader, runId, first, last, { condition: isControl, isOutline });
    const short = await reader.rows(`SELECT seq::DOUBLE, payload FROM events WHERE ${where}`, [runId, first, last]);
    for (const [seq, text] of short as [number, string][]) texts.set(seq, text);
    await reader.hand(() => take(page.map(([seq]) => upToDateText(texts.get(seq)!))));
  }
}
