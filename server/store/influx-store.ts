import { setTimeout as sleep } from 'node:timers/promises';
import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { LargeEvent } from '@plumbline/shared/large-event';
import { hasEnded, type RunId } from '@plumbline/shared/run';
import { isMetricEvent, type ControlEvent } from '@plumbline/shared/trainer-event';
import {
  newestOf,
  newEvents,
  StoreBusyError,
  StoreConflictError,
  type HistoryRange,
  type LastPoint,
  type LargeEventRange,
  type Position,
  type Series,
  type SharedStore,
  type SpoolState,
  type StoredRun,
  type StoredSummary,
  type TakeSeries,
  type TakeTexts,
  type WindowRange,
  type Windows,
} from './event-store.js';
import { InfluxClient, type InfluxOptions } from './influx-client.js';
import {
  baseSecondOf,
  endOfTime,
  eventMeasurement,
  fromParts,
  instantOf,
  lastWordVersion,
  lineOfCommand,
  lineOfRun,
  linesOf,
  positionAt,
  rankOf,
} from './influx-lines.js';
import { InfluxKnownRuns } from './influx-known-runs.js';
import { queryLastPoints, querySeries } from './influx-series.js';
import { queryWindows } from './influx-windows.js';
import {
  further,
  InfluxOutbox,
  noReach,
  settleMs,
  type InfluxOutboxOptions,
  type Reach,
  type VersionedRun,
} from './influx-outbox.js';
import {
  from,
  isPlace,
  pointsOf,
  queryEvents,
  queryLargePlaces,
  queryLargeText,
  queryRecords,
  type Extent,
  type LargePlace,
} from './influx-queries.js';
import {
  commandPages,
  decidingTimes,
  highest,
  inOrder,
  inPage,
  placeOf,
  queryCommand,
  queryCommands,
  queryCommandsBetween,
  queryCommandPlaces,
  queryOpenCommands,
  type RunRecord,
} from './influx-records.js';
import { upToDateEvent, type StoredControlEvent, type StoredEvent } from './protocol-1.js';

export interface InfluxStoreOptions extends InfluxOptions, InfluxOutboxOptions {}

/** Versions of a run's record that may wait in the spool of a hub when another hub takes the run over. */
const versionsApart = 1000;

/** Control events per query. */
const eventsPerQuery = 500;

interface Place {
  step: number;
  seq: number;
}

/**
 * Cuts places into stretches in order of seq that one query can read: times are in order of steps, so a stretch ends
 * where the steps of a segment begin anew.
 * @returns the first and the last place of each
 */
function stretchesOf(places: Place[]): [first: Place, last: Place][] {
  const stretches: [Place, Place][] = [];
  let length = 0;
  for (const place of places.sort((a, b) => a.seq - b.seq)) {
    const stretch = stretches.at(-1);
    if (!stretch || place.step < stretch[1].step || length === eventsPerQuery) {
      stretches.push([place, place]);
      length = 0;
    } else stretch[1] = place;
    length++;
  }
  return stretches;
}
/** Limit of one page of `events` in characters, roughly and not counting its first events. */
const maxPageLength = 2 * 2 ** 20;
/** Events in the first query of a run, when their sizes are unknown. */
const eventsPerFirstQuery = 50;
/** Flux for fields of control events, of some types or all. */
function controlFilter(field: string, types: readonly ControlEvent['type'][] | undefined): string {
  const ofTypes = types ? ` and (${types.map((type) => `r.kind == "${type}"`).join(' or ')})` : '';
  return `filter(fn: (r) => r._measurement == "${eventMeasurement}" and ${field}${ofTypes})`;
}
/** Approximate length of an event as JSON. */
const lengthOf = (event: StoredEvent | LargePlace): number =>
  isPlace(event)
    ? 100
    : isMetricEvent(event)
      ? 100 + 40 * Object.keys(event.metrics).length
      : JSON.stringify(event).length;

/**
 * Stores runs in an InfluxDB 2 bucket (layout: influx-lines.ts), with a spool in front. Appended events are durable once
 * they are on this machine's disk, and reach InfluxDB in order, however long it is down.
 * Reads are answered by InfluxDB. Undelivered records are laid over runs and commands; series wait up to `settleMs` for
 * deliveries, and their `lastSeq` says how far they go.
 */
export class InfluxStore implements SharedStore {
  readonly #client: InfluxClient;
  readonly #outbox: InfluxOutbox;
  readonly #runs: InfluxKnownRuns;
  /** Version of each run's record, as far as this hub knows. */
  readonly #versions = new Map<RunId, number>();
  /** How far each run is durable, in the spool or in InfluxDB, and the base of its times. */
  readonly #positions = new Map<RunId, Reach & { baseSecond: number }>();
  /** The last event acknowledged to each trainer that came here, by this hub or another. */
  readonly #acknowledged = new Map<RunId, number>();
  /** Runs that this hub has taken over or appended to: no other hub writes them. */
  readonly #own = new Set<RunId>();
  /** Where the last page of events ended. */
  #page: { runId: RunId; nextSeq: number; step: number; eventLength: number } | null = null;
  /** Chains the appends of each run. */
  readonly #appending = new Map<RunId, Promise<unknown>>();

  constructor(options: InfluxStoreOptions) {
    this.#client = new InfluxClient(options);
    this.#outbox = new InfluxOutbox(this.#client, options);
    this.#runs = new InfluxKnownRuns(this.#client, this.#outbox);
  }

  async spoolState(): Promise<SpoolState> {
    const { spool, delivery } = await this.#outbox.open();
    const { problem, retries } = delivery;
    const { deletionProblem } = this.#outbox;
    const { depth, bytes } = spool;
    return { depth, bytes, ageMs: spool.ageMs(), retries, problem: problem ?? deletionProblem };
  }

  /**
   * Waits until all appended events are in InfluxDB and all deletions are done.
   * @returns false when `limitMs` passed first
   */
  drained(limitMs: number): Promise<boolean> {
    return this.#outbox.drained(limitMs);
  }

  async createRun(run: StoredRun): Promise<void> {
    await this.#outbox.open();
    const isThere = this.#positions.has(run.runId) || (await this.#runs.newest(run.runId)) !== null;
    if (!isThere) await this.#runs.beginLife(run);
    if (isThere || this.#positions.has(run.runId)) throw new StoreConflictError(`There is a run ${run.runId} already.`);
    // Reserved before it is durable, so that a concurrent creation of the same id fails.
    this.#positions.set(run.runId, { ...noReach, baseSecond: baseSecondOf(run.createdMs) });
    await this.updateRun(run).catch((error: unknown) => {
      this.#positions.delete(run.runId);
      throw error;
    });
  }

  async updateRun(run: StoredRun, hasLastWord = false): Promise<void> {
    const { lastSeq, lastStep } = await this.#position(run.runId);
    const known = this.#versions.get(run.runId) ?? (await this.#runs.newest(run.runId))?.version ?? 0;
    const next = Math.max(known, this.#versions.get(run.runId) ?? 0) + 1;
    const version = hasLastWord && next < lastWordVersion ? lastWordVersion + next : next;
    this.#versions.set(run.runId, version);
    await this.#outbox.add({ kind: 'run', run, version }, [lineOfRun({ ...run, lastSeq, lastStep }, version)]);
  }

  async deleteRun(runId: RunId): Promise<void> {
    await this.#outbox.open();
    await this.#appending.get(runId);
    if (await this.#runs.delete(runId)) this.forget(runId);
  }

  async deleteRest(runId: RunId, createdMs: number | null): Promise<void> {
    await this.#outbox.open();
    await this.#appending.get(runId);
    if (await this.#runs.deleteRest(runId, createdMs)) this.forget(runId);
  }

  async deletedRuns(): Promise<RunId[]> {
    await this.#outbox.open();
    return this.#runs.deleted();
  }

  forget(runId: RunId): void {
    this.letGo(runId);
    this.#acknowledged.delete(runId);
    this.#page = null;
    this.#outbox.forget(runId);
  }

  async run(runId: RunId): Promise<StoredSummary | null> {
    await this.#outbox.open();
    const run = await this.#runs.newest(runId);
    return run ? this.#summary(run) : null;
  }

  async runs(): Promise<StoredSummary[]> {
    await this.#outbox.open();
    const runs = await Promise.all((await this.#runs.all()).map((run) => this.#summary(run)));
    return runs.sort((a, b) => b.createdMs - a.createdMs || (a.runId < b.runId ? 1 : -1));
  }

  append<E extends StoredEvent>(runId: RunId, events: readonly E[]): Promise<{ lastSeq: number; appended: E[] }> {
    const before = this.#appending.get(runId) ?? Promise.resolve();
    const work = before.then(() => this.#append(runId, events));
    const settled = work.catch(() => undefined);
    this.#appending.set(runId, settled);
    void settled.then(() => {
      if (this.#appending.get(runId) === settled) this.#appending.delete(runId);
    });
    return work;
  }

  async takeUp(runId: RunId, acknowledgedSeq: number): Promise<Position> {
    await this.#outbox.open();
    const newest = await this.#runs.newest(runId);
    if (!newest)
      throw new StoreBusyError(
        `The record of the run ${runId} has not arrived in InfluxDB. The hub that opened the run delivers it from its ` +
          'spool; try again in a moment.',
      );
    this.letGo(runId);
    this.#acknowledged.set(runId, Math.max(acknowledgedSeq, this.#acknowledged.get(runId) ?? 0));
    const { lastSeq, lastStep } = await this.#position(runId);
    // InfluxDB may be behind: a reader must not reset the position from there before the first append.
    this.#own.add(runId);
    // Record versions that the previous hub has yet to deliver must not outrank the ones written here.
    this.#versions.set(runId, newest.version + versionsApart);
    return { lastSeq, lastStep };
  }

  letGo(runId: RunId): void {
    this.#positions.delete(runId);
    this.#versions.delete(runId);
    this.#own.delete(runId);
  }

  async lastSeq(runId: RunId): Promise<number> {
    return (await this.#position(runId)).lastSeq;
  }

  async history(runId: RunId, range: HistoryRange): Promise<{ lastSeq: number; series: Map<string, Series> }> {
    const series = new Map<string, Series>();
    const { lastSeq } = await this.eachSeries(runId, range, (metric, columns) => void series.set(metric, columns));
    return { lastSeq, series };
  }

  async eachSeries(
    runId: RunId,
    range: HistoryRange,
    take: TakeSeries<Series>,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number }> {
    const { lastSeq, extent } = await this.#settled(runId);
    await querySeries(this.#client, runId, extent, range, take, signal);
    return { lastSeq };
  }

  async lastPoints(
    runId: RunId,
    range: Pick<HistoryRange, 'metrics' | 'segments'> = {},
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; points: Map<string, LastPoint> }> {
    const { lastSeq, extent } = await this.#settled(runId);
    return { lastSeq, points: await queryLastPoints(this.#client, runId, extent, range, signal) };
  }

  async windows(runId: RunId, range: WindowRange): Promise<Map<string, Windows>> {
    const found = new Map<string, Windows>();
    await this.eachWindows(runId, range, (metric, columns) => void found.set(metric, columns));
    return found;
  }

  async eachWindows(runId: RunId, range: WindowRange, take: TakeSeries<Windows>, signal?: AbortSignal): Promise<void> {
    const { extent } = await this.#settled(runId);
    await queryWindows(this.#client, runId, extent, range, take, signal);
  }

  async controlEvents(
    runId: RunId,
    types?: readonly ControlEvent['type'][],
  ): Promise<{ lastSeq: number; events: ControlEvent[] }> {
    const { lastSeq, extent } = await this.#settled(runId);
    const points = pointsOf(this.#client.options.bucket, runId, extent, {});
    if (points === null) return { lastSeq, events: [] };
    const found = await queryRecords(this.#client, `${points} |> ${controlFilter('r._field =~ /^payload_/', types)}`);
    const events = found.map(({ fields }) => upToDateEvent(fromParts<StoredControlEvent>('payload', fields)));
    return { lastSeq, events: events.filter(({ seq }) => seq <= lastSeq).sort((a, b) => a.seq - b.seq) };
  }

  async eachControlEvents(
    runId: RunId,
    take: TakeTexts,
    { types, signal }: { types?: readonly ControlEvent['type'][]; signal?: AbortSignal } = {},
  ): Promise<{ lastSeq: number }> {
    const { lastSeq, extent } = await this.#settled(runId);
    const points = pointsOf(this.#client.options.bucket, runId, extent, {});
    if (points === null) return { lastSeq };
    const payloads = (field: string): string => controlFilter(field, types);
    // Reads the positions first, then the contents in pages.
    const places: Place[] = [];
    await this.#client.query(
      `${points} |> ${payloads('r._field == "payload_0"')} |> keep(columns: ["_time"])`,
      (row) => {
        const place = positionAt(extent.baseSecond, row('_time'));
        if (place.seq <= lastSeq) places.push(place);
      },
      signal,
    );
    const { baseSecond } = extent;
    for (const [first, last] of stretchesOf(places)) {
      const between = `start: ${instantOf(baseSecond, first.step, first.seq)}, stop: ${instantOf(baseSecond, last.step, last.seq + 1)}`;
      const found = await queryRecords(
        this.#client,
        `${from(this.#client, between)} |> filter(fn: (r) => r.run == "${runId}") |> ${payloads('r._field =~ /^payload_/')}`,
        signal,
      );
      const events = found
        .map(({ fields }) => upToDateEvent(fromParts<StoredControlEvent>('payload', fields)))
        // The steps of other segments are in the same range of times.
        .filter(({ seq }) => seq >= first.seq && seq <= last.seq);
      await take(events.sort((a, b) => a.seq - b.seq).map((event) => JSON.stringify(event)));
    }
    return { lastSeq };
  }

  async events(runId: RunId, fromSeq: number, limit: number): Promise<StoredEvent[]> {
    const { lastSeq, extent } = await this.#settled(runId);
    const events: (StoredEvent | LargePlace)[] = [];
    const before = this.#page?.runId === runId && this.#page.nextSeq === fromSeq ? this.#page : null;
    // The event after the last page is probably near, and so is the first event.
    let next = Math.max(1, fromSeq);
    let step = before?.step ?? 0;
    if (!before && next > 1) {
      const place = await this.#placeOf(runId, extent, next);
      if (!place) return [];
      ({ seq: next, step } = place);
    }
    // Most steps have one event, so `limit` steps make about one page. Fewer steps where events are large, by the size of
    // the first few.
    let eventLength = before?.eventLength ?? maxPageLength / eventsPerFirstQuery;
    let length = 0;
    while (events.length < limit && length < maxPageLength && step <= extent.lastStep) {
      const steps = Math.max(1, Math.min(limit, Math.floor((maxPageLength - length) / eventLength)));
      const found = await queryEvents(this.#client, runId, extent, step, step + steps);
      // Skips events of other segments in between.
      const following = found.filter(({ seq }) => {
        const follows = seq === next && seq <= lastSeq;
        if (follows) next++;
        return follows;
      });
      events.push(...following);
      length = following.reduce((sum, event) => sum + lengthOf(event), length);
      if (events.length > 0) eventLength = length / events.length;
      step += steps;
      // Looks for the next event where steps are far apart or a segment begins.
      if (following.length >= steps / 2) continue;
      const place = next > lastSeq ? null : await this.#placeOf(runId, extent, next);
      if (!place) break;
      ({ seq: next, step } = place);
    }
    const page = await this.#whole(runId, extent, events.slice(0, limit));
    const last = page.at(-1);
    this.#page = last ? { runId, nextSeq: last.seq + 1, step: last.step, eventLength } : null;
    return page;
  }

  /** Reads the texts of large events, and ends the page when they reach its limit. */
  async #whole(runId: RunId, extent: Extent, events: readonly (StoredEvent | LargePlace)[]): Promise<StoredEvent[]> {
    const whole: StoredEvent[] = [];
    let bytes = 0;
    for (const event of events) {
      if (bytes > maxPageLength) break;
      if (isPlace(event)) {
        whole.push(JSON.parse(await queryLargeText(this.#client, runId, extent, event)) as LargeEvent);
        bytes += event.bytes;
      } else whole.push(event);
    }
    return whole;
  }

  async eachLargeEvent(
    runId: RunId,
    range: LargeEventRange,
    take: TakeTexts,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; earlier: number }> {
    const { lastSeq, extent } = await this.#settled(runId);
    const { places, count } = await queryLargePlaces(this.#client, runId, extent, range, signal);
    const wanted = newestOf(places, range);
    for (const place of wanted) await take([await queryLargeText(this.#client, runId, extent, place, signal)]);
    return { lastSeq, earlier: count - wanted.length };
  }

  /** Position of an event, or of the next one in InfluxDB. */
  async #placeOf(runId: RunId, extent: Extent, seq: number): Promise<{ seq: number; step: number } | null> {
    let place: { seq: number; step: number } | null = null;
    const points = pointsOf(this.#client.options.bucket, runId, extent, {});
    if (points === null) return null;
    await this.#client.query(
      `${points} |> filter(fn: (r) => r._measurement == "${eventMeasurement}" and r._field == "seq")
  |> filter(fn: (r) => r._value >= ${seq}) |> min()`,
      (row) => {
        const found = positionAt(extent.baseSecond, row('_time'));
        if (place === null || found.seq < place.seq) place = found;
      },
    );
    return place;
  }

  async putCommand(record: CommandRecord): Promise<void> {
    await this.#outbox.add({ kind: 'command', record }, [lineOfCommand(record)]);
  }

  async command(commandId: CommandId): Promise<CommandRecord | null> {
    const { delivery } = await this.#outbox.open();
    const here = (): CommandRecord | null => this.#outbox.command(commandId) ?? null;
    const held = here();
    if (held && rankOf(held) === 2) return held;
    // While InfluxDB is down only recent commands of this hub are known. Steering has to go on then, and a trainer
    // accepts a command id only once.
    if (delivery.problem !== null) return held;
    const { deleting } = this.#outbox;
    const noAnswer = sleep(settleMs, null, { ref: false });
    const there = await Promise.race([queryCommand(this.#client, commandId), noAnswer]);
    // A record held before the query may have been delivered too late for the answer.
    const isVoid = there !== null && deleting.has(there.runId);
    const known = [isVoid ? null : there, held, here()].filter((record) => record !== null);
    return highest(known)[0] ?? null;
  }

  async leftOver(): Promise<CommandRecord[]> {
    await this.#outbox.open();
    return this.#outbox.leftOver;
  }

  async undelivered(): Promise<RunId[]> {
    await this.#outbox.open();
    return this.#outbox.runIds;
  }

  async commands(runId: RunId): Promise<CommandRecord[]> {
    await this.#outbox.open();
    // Noted before InfluxDB is asked, as runs are.
    const here = this.#outbox.commands.filter((record) => record.runId === runId);
    const there = this.#outbox.deleting.has(runId) ? [] : await queryCommands(this.#client, runId);
    return inOrder(highest([...there, ...here]));
  }

  async eachCommands(runId: RunId, take: TakeTexts, signal?: AbortSignal): Promise<void> {
    await this.#outbox.open();
    // Noted before InfluxDB is asked, as runs are.
    const here = this.#outbox.commands.filter((record) => record.runId === runId);
    const there = this.#outbox.deleting.has(runId) ? [] : await queryCommandPlaces(this.#client, runId, signal);
    const times = decidingTimes([...there, ...here.map(placeOf)]);
    for (const page of commandPages([...times.values()])) {
      const records = there.length === 0 ? [] : await queryCommandsBetween(this.#client, runId, page, signal);
      const deciding = [...records, ...here].filter(
        (record) => inPage(record, page) && times.get(record.commandId) === placeOf(record).timeMs,
      );
      await take(inOrder(highest(deciding)).map((record) => JSON.stringify(record)));
    }
  }

  async runsWithOpenCommands(): Promise<RunId[]> {
    await this.#outbox.open();
    // Noted before InfluxDB is asked, as runs are.
    const { commands: here, deleting } = this.#outbox;
    const there = (await queryOpenCommands(this.#client)).filter(({ runId }) => !deleting.has(runId));
    const open = new Map(there.map(({ commandId, runId }) => [commandId, runId]));
    for (const { commandId, runId, state } of here)
      if (state === 'pending') open.set(commandId, runId);
      else open.delete(commandId);
    return [...new Set(open.values())];
  }

  arrived(commandId: CommandId, limitMs: number): Promise<boolean> {
    return this.#outbox.arrived(commandId, limitMs);
  }

  close(): Promise<void> {
    return this.#outbox.close();
  }

  async #append<E extends StoredEvent>(
    runId: RunId,
    events: readonly E[],
  ): Promise<{ lastSeq: number; appended: E[] }> {
    const position = await this.#position(runId);
    const { appended, lastSeq, lastStep } = newEvents(runId, position, events);
    if (appended.length === 0) return { lastSeq, appended };
    const endStep = appended.reduce((most, { step }) => Math.max(most, step), position.endStep);
    const lines = appended.flatMap((event) => linesOf(runId, position.baseSecond, event));
    await this.#outbox.add({ kind: 'events', runId, lastSeq, lastStep, endStep }, lines);
    this.#positions.set(runId, { ...position, lastSeq, lastStep, endStep });
    this.#own.add(runId);
    return { lastSeq, appended };
  }

  /** How far a run is durable, read from InfluxDB the first time. */
  async #position(runId: RunId): Promise<Reach & { baseSecond: number }> {
    await this.#outbox.open();
    const known = this.#positions.get(runId);
    if (known) return known;
    const run = await this.#runs.newest(runId);
    if (!run) return { ...noReach, baseSecond: 0 };
    const baseSecond = baseSecondOf(run.createdMs);
    // Noted before InfluxDB is asked, as runs are.
    const onItsWay = this.#outbox.onItsWay(runId);
    const isEnded = 'lastSeq' in run && hasEnded(run.state);
    const inInflux = await this.#lookAt(runId, baseSecond, isEnded ? run.lastSeq : Infinity);
    const position = further(onItsWay, inInflux);
    const found = { ...position, lastSeq: Math.max(position.lastSeq, this.#acknowledged.get(runId) ?? 0), baseSecond };
    // A concurrent call may have set it, and appended since.
    if (!this.#positions.has(runId)) this.#positions.set(runId, found);
    return this.#positions.get(runId)!;
  }

  /**
   * Asks InfluxDB how far it has a run.
   * @param expectedSeq the last event number, if that is known
   */
  async #lookAt(runId: RunId, baseSecond: number, expectedSeq: number): Promise<Reach> {
    let reach = noReach;
    const seqs = `${from(this.#client, `start: ${baseSecond}, stop: ${endOfTime}`)}
  |> filter(fn: (r) => r._measurement == "${eventMeasurement}" and r.run == "${runId}" and r._field == "seq")`;
    const ask = (selector: 'last' | 'max'): Promise<void> =>
      this.#client.query(`${seqs} |> ${selector}()`, (row) => {
        const { step, seq } = positionAt(baseSecond, row('_time'));
        reach = further(reach, { lastSeq: seq, lastStep: step, endStep: step });
      });
    // `last` finds the largest step, `max` the largest event number. `max` reads all of them, so it is skipped where `last`
    // finds the expected event.
    await Promise.all([ask('last'), expectedSeq === Infinity && ask('max')]);
    if (expectedSeq !== Infinity && reach.lastSeq < expectedSeq) await ask('max');
    this.#outbox.sawDelivered(runId, reach);
    return reach;
  }

  /** Waits up to `settleMs` for deliveries, so that a reader sees acknowledged events. */
  async #settled(runId: RunId): Promise<{ lastSeq: number; extent: Extent }> {
    // A run of another hub may have grown since the last look.
    if (!this.#own.has(runId)) this.letGo(runId);
    const { baseSecond } = await this.#position(runId);
    await this.#outbox.settle(runId);
    // Another hub may have delivered since what it had acknowledged before this one took the run up.
    const acknowledged = this.#acknowledged.get(runId) ?? 0;
    if ((this.#outbox.delivered(runId) ?? noReach).lastSeq < acknowledged)
      await this.#lookAt(runId, baseSecond, acknowledged);
    const { lastSeq, endStep } = this.#outbox.delivered(runId) ?? noReach;
    return { lastSeq, extent: { baseSecond, lastStep: endStep, lastSeq } };
  }

  async #summary({ version: _v, ...run }: VersionedRun | RunRecord): Promise<StoredSummary> {
    // The record of an ended run was written after its last event, so its position holds. The exception is a record of
    // another hub, which could not know this hub's undelivered events.
    const { runId } = run;
    const isKnownHere = this.#positions.has(runId) || this.#outbox.delivered(runId) || this.#outbox.onItsWay(runId);
    if ('lastSeq' in run && hasEnded(run.state) && !isKnownHere) return run;
    const { lastSeq, lastStep } = await this.#position(run.runId);
    return { ...run, lastSeq, lastStep };
  }
}
