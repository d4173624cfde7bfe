import { fluxString } from '@influxdata/influxdb-client';
import { recordOf } from '@plumbline/shared/record';
import { toWireNumber, type WireNumber } from '@plumbline/shared/metric';
import type { LargeEvent } from '@plumbline/shared/large-event';
import { isSuperseded, type RunId } from '@plumbline/shared/run';
import type { MetricEvent } from '@plumbline/shared/trainer-event';
import { decisive, StoreUnavailableError, type LargeEventRange, type WindowRange } from './event-store.js';
import type { InfluxClient, Row } from './influx-client.js';
import {
  endOfTime,
  eventMeasurement,
  instantOf,
  joined,
  metricOf,
  nonFinite,
  positionAt,
  runMeasurement,
  seriesKeyOf,
} from './influx-lines.js';

const text = (value: string): string => fluxString(value).toString();

/** The beginning of Flux on the bucket. */
export const from = (client: InfluxClient, range: string): string =>
  `from(bucket: ${text(client.options.bucket)}) |> range(${range})`;
export const always = `start: 0, stop: ${endOfTime}`;

/** Range in time of a run's points, up to the newest event that InfluxDB is known to have. */
export interface Extent {
  baseSecond: number;
  lastStep: number;
  lastSeq: number;
}

/**
 * Flux for the points of a run in a range of steps, which InfluxDB's storage answers without Flux reading each point.
 * Null for an empty range, which Flux rejects.
 * The range ends at the newest event, to the nanosecond. Later points must be in no answer: otherwise the largest point of
 * a thinned bucket could be above `lastSeq`, and the largest one below it would be missing.
 */
export function pointsOf(
  bucket: string,
  runId: RunId,
  { baseSecond, lastStep, lastSeq }: Extent,
  { fromStep = 0, toStep = Infinity }: { fromStep?: number | undefined; toStep?: number | undefined },
): string | null {
  if (fromStep > Math.min(toStep, lastStep) || lastSeq === 0) return null;
  const stop = toStep < lastStep ? String(baseSecond + toStep + 1) : instantOf(baseSecond, lastStep, lastSeq + 1);
  return `from(bucket: ${text(bucket)}) |> range(start: ${baseSecond + fromStep}, stop: ${stop})
  |> filter(fn: (r) => r.run == ${text(runId)})`;
}

/**
 * Flux filter for the float fields of metrics and the wall times of steps, optionally by name. Names that differ in one
 * place only, for instance a thousand parameter groups, become one condition: InfluxDB is slow with a thousand.
 * For a run with segments it leaves out superseded points, for which Flux reads each point.
 */
export function seriesFilter({ baseSecond }: Extent, { metrics, segments }: WindowRange, words: boolean): string {
  const conditions = decisive(segments).map(
    ({ seq, fromStep }) =>
      `(int(v: r._time) % 1000000000 >= ${seq} or int(v: r._time) < ${baseSecond + fromStep + 1}000000000)`,
  );
  const named = namesFilter(metrics, words);
  return conditions.length === 0 ? named : `${named} |> filter(fn: (r) => ${conditions.join(' and ')})`;
}

function namesFilter(metrics: readonly string[] | undefined, words: boolean): string {
  const suffix = words ? nonFinite : '';
  const wallTimes =
    '(r._measurement == "plumbline.event" and r.kind == "step_completed" and r._field == "wall_time_ms")';
  if (metrics === undefined)
    return words
      ? 'filter(fn: (r) => r._measurement !~ /^plumbline\\./ and r._field =~ /:nonfinite$/)'
      : `filter(fn: (r) => (r._measurement !~ /^plumbline\\./ and r._field !~ /:nonfinite$/) or ${wallTimes})`;
  const conditions = new Set<string>();
  /** The varying part of names, by their common part. */
  const alike = new Map<string, { column: string; values: Set<string> }>();
  for (const metric of metrics) {
    const { measurement, task, group, field } = seriesKeyOf(metric);
    if (measurement === eventMeasurement) {
      if (!words) conditions.add(wallTimes);
      continue;
    }
    const [same, column, value] =
      group !== undefined
        ? [` and r._field == ${text(field + suffix)}`, 'group', group]
        : [task === undefined ? '' : ` and r.task == ${text(task)}`, '_field', field + suffix];
    const key = `r._measurement == ${text(measurement)}${same}`;
    const entry = alike.get(key) ?? { column, values: new Set() };
    alike.set(key, entry);
    entry.values.add(value);
  }
  for (const [same, { column, values }] of alike) conditions.add(`(${same} and ${oneOf(column, [...values])})`);
  return `filter(fn: (r) => ${anyOf([...conditions])})`;
}

/** A condition that a column has one of these values. */
function oneOf(column: string, values: readonly string[]): string {
  if (values.length === 1) return `r.${column} == ${text(values[0]!)}`;
  return `r.${column} =~ /^(${values.map((value) => value.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')).join('|')})$/`;
}

/** Combines conditions with `or` as a balanced tree: Flux rejects deep nesting, and a chain of `or` is deep. */
function anyOf(conditions: readonly string[]): string {
  if (conditions.length <= 1) return conditions[0] ?? 'false';
  const middle = Math.ceil(conditions.length / 2);
  return `(${anyOf(conditions.slice(0, middle))} or ${anyOf(conditions.slice(middle))})`;
}

/** The metric of a row. */
export const keyOf = (row: Row): { metric: string; words: boolean } | undefined =>
  metricOf({
    ...{ measurement: row('_measurement'), field: row('_field') },
    ...(row('task') && { task: row('task') }),
    ...(row('group') && { group: row('group') }),
  });

/** Filters by exact name: a query for a series without a tag also finds those with one. */
export function askedFor(metrics: readonly string[] | undefined): (metric: string) => boolean {
  if (metrics === undefined) return () => true;
  const asked = new Set(metrics);
  return (metric) => asked.has(metric);
}

/** The fields of one point. */
export interface PointFields {
  time: string;
  run: string;
  fields: Map<string, string>;
}

/** Reads points, put together from their fields, which InfluxDB returns one by one. */
export async function queryRecords(client: InfluxClient, flux: string, signal?: AbortSignal): Promise<PointFields[]> {
  const records = new Map<string, PointFields>();
  await client.query(
    flux,
    (row) => {
      const [time, run] = [row('_time'), row('run')];
      const key = `${run} ${time} ${row('rank')}`;
      const record = records.get(key) ?? { time, run, fields: new Map<string, string>() };
      records.set(key, record);
      record.fields.set(row('_field'), row('_value'));
    },
    signal,
  );
  return [...records.values()];
}

/** A large event without its content. */
export interface LargePlace {
  type: LargeEvent['type'];
  seq: number;
  step: number;
  bytes: number;
}
/** A control event as it is stored. */
export interface ControlText {
  seq: number;
  step: number;
  text: string;
}

/**
 * Finds the newest large events of a type in a range, newest first, and counts all of them.
 * @throws ReadAbandonedError after `signal`
 */
export async function queryLargePlaces(
  client: InfluxClient,
  runId: RunId,
  extent: Extent,
  range: LargeEventRange,
  signal?: AbortSignal,
): Promise<{ places: LargePlace[]; count: number }> {
  const { type, newest, beforeSeq = Infinity } = range;
  const points = pointsOf(client.options.bucket, runId, extent, range);
  let places: LargePlace[] = [];
  let count = 0;
  if (points === null) return { places, count };
  const keepNewest = (): void => void (places = places.sort((a, b) => b.seq - a.seq).slice(0, newest));
  await client.query(
    `${points} |> filter(fn: (r) => r._measurement == "${eventMeasurement}" and r.kind == "${type}" and r._field == "bytes")`,
    (row) => {
      const { step, seq } = positionAt(extent.baseSecond, row('_time'));
      if (seq > extent.lastSeq || seq >= beforeSeq || isSuperseded(range.segments, { seq, step })) return;
      count++;
      places.push({ type, seq, step, bytes: Number(row('_value')) });
      if (places.length >= 2 * newest) keepNewest();
    },
    signal,
  );
  keepNewest();
  return { places, count };
}

/** Reads a large event as JSON. */
export async function queryLargeText(
  client: InfluxClient,
  runId: RunId,
  { baseSecond }: Extent,
  { seq, step }: LargePlace,
  signal?: AbortSignal,
): Promise<string> {
  const at = `start: ${instantOf(baseSecond, step, seq)}, stop: ${instantOf(baseSecond, step, seq + 1)}`;
  const [found] = await queryRecords(
    client,
    `${from(client, at)} |> filter(fn: (r) => r.run == ${text(runId)} and r._measurement == "${eventMeasurement}" and r._field =~ /^large_/)`,
    signal,
  );
  if (!found) throw new StoreUnavailableError(`InfluxDB has lost event ${seq} of ${runId}.`);
  return joined('large', found.fields);
}

/**
 * Reads the events of a range of steps, in order of their number; `toStep` is excluded. Large events come as their places,
 * and control events as texts.
 * A single query reads everything in the range, which is put together by time.
 * @throws ReadAbandonedError after `signal`
 */
export async function queryEvents(
  client: InfluxClient,
  runId: RunId,
  extent: Extent,
  { fromStep, toStep }: { fromStep: number; toStep: number },
  signal?: AbortSignal,
): Promise<(MetricEvent | LargePlace | ControlText)[]> {
  const found = new Map<
    number,
    { step: number; kind: string; fields: Map<string, string>; metrics: [string, WireNumber][] }
  >();
  const points = pointsOf(client.options.bucket, runId, extent, { fromStep, toStep: toStep - 1 });
  if (points === null) return [];
  const small = `filter(fn: (r) => r._measurement != "${eventMeasurement}" or r._field !~ /^large_/)`;
  const take = (row: Row): void => {
    const measurement = row('_measurement');
    if (measurement === runMeasurement) return;
    const { step, seq } = positionAt(extent.baseSecond, row('_time'));
    const event = found.get(seq) ?? { step, kind: '', fields: new Map<string, string>(), metrics: [] };
    found.set(seq, event);
    if (measurement === eventMeasurement) {
      event.kind = row('kind');
      event.fields.set(row('_field'), row('_value'));
      return;
    }
    const key = keyOf(row);
    if (key) event.metrics.push([key.metric, toWireNumber(Number(row('_value')))]);
  };
  await client.query(`${points} |> ${small} |> drop(columns: ["_start", "_stop"])`, take, signal);
  return [...found]
    .sort(([a], [b]) => a - b)
    .map(([seq, { step, kind, fields, metrics }]) => {
      if (fields.has('payload_0')) return { seq, step, text: joined('payload', fields) };
      if (fields.has('bytes'))
        return { type: kind as LargeEvent['type'], seq, step, bytes: Number(fields.get('bytes')) };
      metrics.sort(([a], [b]) => (a < b ? -1 : 1));
      return {
        ...{ type: kind as MetricEvent['type'], seq, step, stage: Number(fields.get('stage')) },
        ...{ wallTimeMs: Number(fields.get('wall_time_ms')), metrics: recordOf(metrics) },
      };
    });
}
