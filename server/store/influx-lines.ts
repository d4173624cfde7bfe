import { fromWireNumber, isMeasured, wallTimeSeries } from '@plumbline/shared/metric';
import type { CommandRecord } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import { isLargeEvent } from '@plumbline/shared/large-event-notice';
import { isMetricEvent } from '@plumbline/shared/trainer-event';
import type { StoredEvent } from './protocol-1.js';
import type { StoredRun } from './event-store.js';
import { LongText } from './long-text.js';
import { textParts } from './text-parts.js';

/*
 * How runs lie in an InfluxDB 2 bucket.
 *
 * Time is an order, not a clock: a run's point of step s and event number n is at (second of the run's creation + s)
 * seconds and n nanoseconds. So no two events collide, however fast the steps or whatever the clocks do. Sending an event
 * again overwrites it with itself. A window of k steps is a window of k seconds, which InfluxDB aggregates itself. Step
 * and event number are encoded in the time and stored nowhere else.
 *
 *   measurement        tags               fields
 *   train, shift, ...  run [task|group]   one float a metric: `train/loss` is field `loss` of measurement `train`;
 *                                         `held_out/colour/accuracy` is `accuracy` of `held_out` with task=colour;
 *                                         `drift/<group>` is `distance` of `drift` with group=<group>.
 *                                         A non-finite value is a word in the field `<name>:nonfinite`.
 *                                         The field of a metric that ends in `time` is `time:`.
 *   plumbline.event    run, kind          seq, wall_time_ms, stage and values (count) of metric events,
 *                                         payload_0.. of control events: JSON, in parts; bytes and large_0.. of large
 *                                         events, which other queries leave out
 *   plumbline.run      run                record_0..: the run's record as JSON; a point per version, of which the latest
 *                                         counts; versions with the trainer's last word are later than all others
 *   plumbline.command  run, rank          command, record_0..: a line of the audit log when it was given (rank 0), given
 *                                         up by a hub (1), or ended (2); the highest rank counts
 *   plumbline.deleted  deleted, id, life, created_ms: the run with the id `deleted` that was created then is deleted,
 *                      word               or its points are gone (word=cleared), or it is a new run after deleted ones
 *                                         (word=new_life); see influx-deletion.ts
 * Changes never overwrite a point: a hub that comes back and delivers late does no harm.
 *
 * Retention and downsampling (see influx-setup.ts) take the age of a point from the second of the run's creation plus its
 * step: a run's millionth step is 11 days younger than its first. Retention has to be longer than the longest run, or
 * InfluxDB refuses the first steps of a run that is still going.
 */
export const eventMeasurement = 'plumbline.event';
export const runMeasurement = 'plumbline.run';
export const commandMeasurement = 'plumbline.command';
export const deletionMeasurement = 'plumbline.deleted';
export const nonFinite = ':nonfinite';
/** InfluxDB silently drops a field named `time`. */
const timeField = { metric: 'time', stored: 'time:' };

/** A string field holds at most 64 kB. */
const maxStringLength = 60_000;
const maxSeq = 999_999_999;
/** Versions of a run's record that hold its trainer's last word are above this, all others below. */
export const lastWordVersion = 500_000_000;
/** Times are 64-bit nanoseconds: they end in the year 2262. */
const maxSecond = 9_200_000_000;
/** Slightly before InfluxDB's own limit. */
export const endOfTime = '2262-01-01T00:00:00Z';

/** The second of a run's step 0. */
export const baseSecondOf = (createdMs: number): number => Math.floor(createdMs / 1000);

/** Time of a point in nanoseconds. @throws RangeError for a step or an event number beyond the range of times */
export function timeOf(baseSecond: number, step: number, seq: number): string {
  if (seq > maxSeq || baseSecond + step > maxSecond)
    throw new RangeError(`InfluxDB holds runs of up to ${maxSeq} events and ${maxSecond - baseSecond} steps.`);
  return `${baseSecond + step}${String(seq).padStart(9, '0')}`;
}

/** The same as an RFC 3339 time, as Flux takes it. */
export function instantOf(baseSecond: number, step: number, seq: number): string {
  const seconds = new Date((baseSecond + step) * 1000).toISOString().slice(0, -'.000Z'.length);
  return `${seconds}.${String(seq).padStart(9, '0')}Z`;
}

/** Step and event number of an RFC 3339 time from InfluxDB. */
export function positionAt(baseSecond: number, time: string): { step: number; seq: number } {
  const [, seconds, fraction = ''] = /^([^.Z]+)(?:\.(\d+))?Z$/.exec(time)!;
  return { step: Date.parse(`${seconds}Z`) / 1000 - baseSecond, seq: Number(fraction.padEnd(9, '0')) };
}

/** Location of a series: `task` and `group` are tags, absent where undefined. */
export interface SeriesKey {
  measurement: string;
  task?: string;
  group?: string;
  field: string;
}

/** A name that needs no escaping in line protocol and Flux; the first word is the measurement. */
const slashedWords = /^[a-z][a-z0-9_]*(\/[A-Za-z0-9_.-]+)+$/;
/** Measurement of all other names. The first word of a slashed name has no dot. */
const anyName = 'any.name';

export function seriesKeyOf(metric: string): SeriesKey {
  if (metric === wallTimeSeries) return { measurement: eventMeasurement, field: 'wall_time_ms' };
  if (!slashedWords.test(metric))
    return { measurement: anyName, field: stored(encodeURIComponent(metric).replaceAll('%2F', '/')) };
  const [measurement, second, ...rest] = metric.split('/') as [string, string, ...string[]];
  if ((measurement === 'held_out' || measurement === 'target') && rest.length === 1)
    return { measurement, task: second, field: stored(rest[0]!) };
  if (measurement === 'drift' && rest.length === 0) return { measurement, group: second, field: 'distance' };
  return { measurement, field: stored([second, ...rest].join('/')) };
}
const stored = (name: string): string => (name === timeField.metric ? timeField.stored : name);

/** The metric of a series, and whether its values are words for non-finite numbers; undefined if it is no metric. */
export function metricOf({
  measurement,
  task,
  group,
  field,
}: SeriesKey): { metric: string; words: boolean } | undefined {
  if (measurement === eventMeasurement)
    return field === 'wall_time_ms' ? { metric: wallTimeSeries, words: false } : undefined;
  if (measurement.startsWith('plumbline.')) return undefined;
  const words = field.endsWith(nonFinite);
  const bare = words ? field.slice(0, -nonFinite.length) : field;
  const name = bare === timeField.stored ? timeField.metric : bare;
  if (measurement === anyName) return { metric: decodeURIComponent(name), words };
  const parts = group === undefined ? [measurement, task, name] : [measurement, group];
  return { metric: parts.filter((part) => part !== undefined).join('/'), words };
}

/** The text of a line before its fields, around the run id. */
interface SeriesText {
  before: string;
  after: string;
}
/** Cache of line texts by metric: the same names come with every step. */
const known = new Map<string, { series: SeriesText; field: string }>();
const knownSeries = new Map<string, SeriesText>();
const maxKnown = 50_000;

function textOf(metric: string): { series: SeriesText; field: string } {
  const held = known.get(metric);
  if (held) return held;
  if (known.size >= maxKnown) {
    known.clear();
    knownSeries.clear();
  }
  const { measurement, task, group, field } = seriesKeyOf(metric);
  const before = `${measurement}${group === undefined ? '' : `,group=${group}`},run=`;
  const after = task === undefined ? '' : `,task=${task}`;
  const series = knownSeries.get(before + after) ?? { before, after };
  knownSeries.set(before + after, series);
  const found = { series, field };
  known.set(metric, found);
  return found;
}

/** The lines of an event: one for the event itself, one per measurement and tag of its metrics. */
export function linesOf(runId: RunId, baseSecond: number, event: StoredEvent): string[] {
  const time = timeOf(baseSecond, event.step, event.seq);
  const head = `${eventMeasurement},kind=${event.type},run=${runId} seq=${event.seq}i,wall_time_ms=${event.wallTimeMs}`;
  if (isLargeEvent(event)) {
    const json = JSON.stringify(event);
    const parts = fieldsOf('large', textParts(json, maxStringLength));
    return [`${head},bytes=${Buffer.byteLength(json)}i,${parts} ${time}`];
  }
  if (!isMetricEvent(event)) return [`${head},${inParts('payload', event)} ${time}`];
  const fields = new Map<SeriesText, string>();
  let count = 0;
  for (const metric in event.metrics) {
    count++;
    const { series, field } = textOf(metric);
    const number = fromWireNumber(event.metrics[metric]!);
    // `String(-0)` has no sign.
    const digits = Object.is(number, -0) ? '-0' : String(number);
    const text = isMeasured(number) ? `${field}=${digits}` : `${field}${nonFinite}="${digits}"`;
    const before = fields.get(series);
    fields.set(series, before === undefined ? text : `${before},${text}`);
  }
  const lines = [`${head},stage=${event.stage}i,values=${count}i ${time}`];
  for (const [{ before, after }, text] of fields) lines.push(`${before}${runId}${after} ${text} ${time}`);
  return lines;
}

/** The line of a run's record. @param version counts changes of the record; becomes the nanoseconds of the point */
export function lineOfRun(run: StoredRun & { lastSeq: number; lastStep: number }, version: number): string {
  return `${runMeasurement},run=${run.runId} ${inParts('record', run)} ${timeOf(baseSecondOf(run.createdMs), 0, version)}`;
}

/** Rank of a record: an end that a hub only assumed without reaching the trainer ranks below a trainer's or a check's. */
export function rankOf({ state, step }: CommandRecord): number {
  if (state === 'pending') return 0;
  return state === 'rejected' || step !== null ? 2 : 1;
}

/**
 * Commands of one millisecond are separated by a hash of their ids: one pair in a million would collide. A record replaces
 * one of its rank; all parts of that are replaced only if the new one is not shorter.
 */
export function lineOfCommand(record: CommandRecord): string {
  let hash = 0;
  for (const character of record.commandId) hash = (hash * 31 + character.charCodeAt(0)) % 1_000_003;
  const time = `${Math.floor(record.receivedMs)}${String(hash % 1_000_000).padStart(6, '0')}`;
  return `${commandMeasurement},rank=${rankOf(record)},run=${record.runId} command="${record.commandId}",${inParts('record', record)} ${time}`;
}

/** A value as ASCII JSON in string fields `<name>_0`, `<name>_1`, ...; ASCII, so that no part ends inside a character. */
function inParts(name: string, value: unknown): string {
  const json = JSON.stringify(value).replace(
    /[\u007f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return fieldsOf(name, textParts(json, maxStringLength));
}

const fieldsOf = (name: string, parts: readonly string[]): string =>
  parts.map((part, index) => `${name}_${index}="${part.replace(/["\\]/g, '\\$&')}"`).join(',');

/** Parses a value that `inParts` wrote, from its fields. */
export const fromParts = <T>(name: string, fields: ReadonlyMap<string, string>): T =>
  JSON.parse(joined(name, fields)) as T;

/**
 * Joins a text from its fields.
 * @param isOutline leaves out the parameters and recipes of a model
 */
export function joined(name: string, fields: ReadonlyMap<string, string>, isOutline = false): string {
  const text = new LongText(isOutline);
  for (let part = 0; fields.has(`${name}_${part}`); part++) text.add(fields.get(`${name}_${part}`)!);
  return text.toString();
}
