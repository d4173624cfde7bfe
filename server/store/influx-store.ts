import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import {
  newestOf,
  newEvents,
  StoreConflictError,
  type ControlEventOptions,
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
import { InfluxCommands } from './influx-commands.js';
import { eachControlText } from './influx-control-events.js';
import { EventPages } from './influx-event-pages.js';
import { InfluxKnownRuns } from './influx-known-runs.js';
import { lineOfRun, linesOf } from './influx-lines.js';
import { InfluxOutbox, type InfluxOutboxOptions } from './influx-outbox.js';
import { InfluxPositions } from './influx-positions.js';
import { queryLargePlaces, queryLargeText } from './influx-queries.js';
import { queryLastPoints, querySeries } from './influx-series.js';
import { queryWindows } from './influx-windows.js';
import type { StoredEvent } from './protocol-1.js';

export interface InfluxStoreOptions extends InfluxOptions, InfluxOutboxOptions {}

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
  readonly #positions: InfluxPositions;
  readonly #commands: InfluxCommands;
  readonly #pages: EventPages;
  /** Chains the appends of each run. */
  readonly #appending = new Map<RunId, Promise<unknown>>();

  constructor(options: InfluxStoreOptions) {
    this.#client = new InfluxClient(options);
    this.#outbox = new InfluxOutbox(this.#client, options);
    this.#runs = new InfluxKnownRuns(this.#client, this.#outbox);
    this.#positions = new InfluxPositions(this.#client, this.#outbox, this.#runs);
    this.#commands = new InfluxCommands(this.#client, this.#outbox);
    this.#pages = new EventPages(this.#client);
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
    const undo = this.#positions.begin(run);
    await this.updateRun(run).catch((error: unknown) => {
      undo();
      throw error;
    });
  }

  async updateRun(run: StoredRun, hasLastWord = false): Promise<void> {
    const { lastSeq, lastStep } = await this.#positions.of(run.runId);
    const version = await this.#positions.nextVersion(run.runId, hasLastWord);
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
    this.#positions.forget(runId);
    this.#pages.forget();
    this.#outbox.forget(runId);
  }

  async run(runId: RunId): Promise<StoredSummary | null> {
    await this.#outbox.open();
    const run = await this.#runs.newest(runId);
    return run ? this.#positions.summary(run) : null;
  }

  async runs(): Promise<StoredSummary[]> {
    await this.#outbox.open();
    const runs = await Promise.all((await this.#runs.all()).map((run) => this.#positions.summary(run)));
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

  takeUp(runId: RunId, acknowledgedSeq: number): Promise<Position> {
    return this.#positions.takeUp(runId, acknowledgedSeq);
  }

  letGo(runId: RunId): void {
    this.#positions.letGo(runId);
  }

  async lastSeq(runId: RunId): Promise<number> {
    return (await this.#positions.of(runId)).lastSeq;
  }

  async history(
    runId: RunId,
    range: HistoryRange,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; series: Map<string, Series> }> {
    const series = new Map<string, Series>();
    const take = (metric: string, columns: Series): void => void series.set(metric, columns);
    const { lastSeq } = await this.eachSeries(runId, range, take, signal);
    return { lastSeq, series };
  }

  async eachSeries(
    runId: RunId,
    range: HistoryRange,
    take: TakeSeries<Series>,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number }> {
    const extent = await this.#positions.settled(runId);
    await querySeries(this.#client, runId, extent, range, take, signal);
    return { lastSeq: extent.lastSeq };
  }

  async lastPoints(
    runId: RunId,
    range: Pick<HistoryRange, 'metrics' | 'segments'> = {},
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; points: Map<string, LastPoint> }> {
    const extent = await this.#positions.settled(runId);
    return { lastSeq: extent.lastSeq, points: await queryLastPoints(this.#client, runId, extent, range, signal) };
  }

  async windows(runId: RunId, range: WindowRange, signal?: AbortSignal): Promise<Map<string, Windows>> {
    const found = new Map<string, Windows>();
    await this.eachWindows(runId, range, (metric, columns) => void found.set(metric, columns), signal);
    return found;
  }

  async eachWindows(runId: RunId, range: WindowRange, take: TakeSeries<Windows>, signal?: AbortSignal): Promise<void> {
    const extent = await this.#positions.settled(runId);
    await queryWindows(this.#client, runId, extent, range, take, signal);
  }

  async eachControlEvents(runId: RunId, take: TakeTexts, options?: ControlEventOptions): Promise<{ lastSeq: number }> {
    const extent = await this.#positions.settled(runId);
    await eachControlText(this.#client, runId, extent, take, options);
    return { lastSeq: extent.lastSeq };
  }

  async events(runId: RunId, fromSeq: number, limit: number, signal?: AbortSignal): Promise<StoredEvent[]> {
    return this.#pages.read(runId, await this.#positions.settled(runId), fromSeq, limit, signal);
  }

  async eachLargeEvent(
    runId: RunId,
    range: LargeEventRange,
    take: TakeTexts,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; earlier: number }> {
    const extent = await this.#positions.settled(runId);
    const { places, count } = await queryLargePlaces(this.#client, runId, extent, range, signal);
    const wanted = newestOf(places, range);
    for (const place of wanted) await take([await queryLargeText(this.#client, runId, extent, place, signal)]);
    return { lastSeq: extent.lastSeq, earlier: count - wanted.length };
  }

  putCommand(record: CommandRecord): Promise<void> {
    return this.#commands.put(record);
  }

  command(commandId: CommandId): Promise<CommandRecord | null> {
    return this.#commands.get(commandId);
  }

  commands(runId: RunId, signal?: AbortSignal): Promise<CommandRecord[]> {
    return this.#commands.all(runId, signal);
  }

  eachCommands(runId: RunId, take: TakeTexts, signal?: AbortSignal): Promise<void> {
    return this.#commands.each(runId, take, signal);
  }

  runsWithOpenCommands(): Promise<RunId[]> {
    return this.#commands.runsWithOpen();
  }

  async leftOver(): Promise<CommandRecord[]> {
    await this.#outbox.open();
    return this.#outbox.leftOver;
  }

  async undelivered(): Promise<RunId[]> {
    await this.#outbox.open();
    return this.#outbox.runIds;
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
    const position = await this.#positions.of(runId);
    const { appended, lastSeq, lastStep } = newEvents(runId, position, events);
    if (appended.length === 0) return { lastSeq, appended };
    const endStep = appended.reduce((most, { step }) => Math.max(most, step), position.endStep);
    const lines = appended.flatMap((event) => linesOf(runId, position.baseSecond, event));
    await this.#outbox.add({ kind: 'events', runId, lastSeq, lastStep, endStep }, lines);
    this.#positions.appended(runId, { ...position, lastSeq, lastStep, endStep });
    return { lastSeq, appended };
  }
}
