import { hasEnded, type RunId } from '@plumbline/shared/run';
import { StoreBusyError, type Position, type StoredRun, type StoredSummary } from './event-store.js';
import type { InfluxClient } from './influx-client.js';
import type { InfluxKnownRuns } from './influx-known-runs.js';
import { baseSecondOf, endOfTime, eventMeasurement, lastWordVersion, positionAt } from './influx-lines.js';
import { further, noReach, type InfluxOutbox, type Reach, type VersionedRun } from './influx-outbox.js';
import { from, type Extent } from './influx-queries.js';
import type { RunRecord } from './influx-records.js';

/** Versions of a run's record that may wait in the spool of a hub when another hub takes the run over. */
const versionsApart = 1000;

/** How far a run is durable, in the spool or in InfluxDB, and the base of its times. */
export type RunPosition = Reach & { baseSecond: number };

/** What this hub knows of the position and the record's version of each run. Only the hub that writes a run knows for sure. */
export class InfluxPositions {
  readonly #positions = new Map<RunId, RunPosition>();
  /** Version of each run's record, as far as this hub knows. */
  readonly #versions = new Map<RunId, number>();
  /** The last event acknowledged to each trainer that came here, by this hub or another. */
  readonly #acknowledged = new Map<RunId, number>();
  /** Runs that this hub has taken over or appended to: no other hub writes them. */
  readonly #own = new Set<RunId>();

  constructor(
    readonly client: InfluxClient,
    readonly outbox: InfluxOutbox,
    readonly runs: InfluxKnownRuns,
  ) {}

  has(runId: RunId): boolean {
    return this.#positions.has(runId);
  }

  /** A run without events begins. @returns undoes that */
  begin({ runId, createdMs }: StoredRun): () => void {
    this.#positions.set(runId, { ...noReach, baseSecond: baseSecondOf(createdMs) });
    return () => void this.#positions.delete(runId);
  }

  /** This hub has appended up to a position. */
  appended(runId: RunId, position: RunPosition): void {
    this.#positions.set(runId, position);
    this.#own.add(runId);
  }

  /** The version that the next record of a run gets. */
  async nextVersion(runId: RunId, hasLastWord: boolean): Promise<number> {
    const known = this.#versions.get(runId) ?? (await this.runs.newest(runId))?.version ?? 0;
    const next = Math.max(known, this.#versions.get(runId) ?? 0) + 1;
    const version = hasLastWord && next < lastWordVersion ? lastWordVersion + next : next;
    this.#versions.set(runId, version);
    return version;
  }

  /** See `SharedStore.takeUp`. */
  async takeUp(runId: RunId, acknowledgedSeq: number): Promise<Position> {
    await this.outbox.open();
    const newest = await this.runs.newest(runId);
    if (!newest)
      throw new StoreBusyError(
        `The record of the run ${runId} has not arrived in InfluxDB. The hub that opened the run delivers it from its ` +
          'spool; try again in a moment.',
      );
    this.letGo(runId);
    this.#acknowledged.set(runId, Math.max(acknowledgedSeq, this.#acknowledged.get(runId) ?? 0));
    const { lastSeq, lastStep } = await this.#read(newest);
    // InfluxDB may be behind: a reader must not reset the position from there before the first append.
    this.#own.add(runId);
    // Record versions that the previous hub has yet to deliver must not outrank the ones written here.
    this.#versions.set(runId, newest.version + versionsApart);
    return { lastSeq, lastStep };
  }

  /** Another hub writes the run from now on. */
  letGo(runId: RunId): void {
    this.#positions.delete(runId);
    this.#versions.delete(runId);
    this.#own.delete(runId);
  }

  /** The run was deleted. */
  forget(runId: RunId): void {
    this.letGo(runId);
    this.#acknowledged.delete(runId);
  }

  /** How far a run is durable, read from InfluxDB the first time. */
  async of(runId: RunId): Promise<RunPosition> {
    await this.outbox.open();
    const known = this.#positions.get(runId);
    if (known) return known;
    const run = await this.runs.newest(runId);
    return run ? this.#read(run) : { ...noReach, baseSecond: 0 };
  }

  async #read(run: VersionedRun | RunRecord): Promise<RunPosition> {
    const { runId } = run;
    const baseSecond = baseSecondOf(run.createdMs);
    // Noted before InfluxDB is asked, as runs are.
    const onItsWay = this.outbox.onItsWay(runId);
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
    const seqs = `${from(this.client, `start: ${baseSecond}, stop: ${endOfTime}`)}
  |> filter(fn: (r) => r._measurement == "${eventMeasurement}" and r.run == "${runId}" and r._field == "seq")`;
    const ask = (selector: 'last' | 'max'): Promise<void> =>
      this.client.query(`${seqs} |> ${selector}()`, (row) => {
        const { step, seq } = positionAt(baseSecond, row('_time'));
        reach = further(reach, { lastSeq: seq, lastStep: step, endStep: step });
      });
    // `last` finds the largest step, `max` the largest event number. `max` reads all of them, so it is skipped where `last`
    // finds the expected event.
    await Promise.all([ask('last'), expectedSeq === Infinity && ask('max')]);
    if (expectedSeq !== Infinity && reach.lastSeq < expectedSeq) await ask('max');
    this.outbox.sawDelivered(runId, reach);
    return reach;
  }

  /** The part of a run that is in InfluxDB. Waits up to `settleMs` for deliveries, so that a reader sees acknowledged events. */
  async settled(runId: RunId): Promise<Extent> {
    // A run of another hub may have grown since the last look.
    if (!this.#own.has(runId)) this.letGo(runId);
    const { baseSecond } = await this.of(runId);
    await this.outbox.settle(runId);
    // Another hub may have delivered since what it had acknowledged before this one took the run up.
    const acknowledged = this.#acknowledged.get(runId) ?? 0;
    if ((this.outbox.delivered(runId) ?? noReach).lastSeq < acknowledged)
      await this.#lookAt(runId, baseSecond, acknowledged);
    const { lastSeq, endStep } = this.outbox.delivered(runId) ?? noReach;
    return { baseSecond, lastStep: endStep, lastSeq };
  }

  /** A run's record with its position. */
  async summary({ version: _v, ...run }: VersionedRun | RunRecord): Promise<StoredSummary> {
    // The record of an ended run was written after its last event, so its position holds. The exception is a record of
    // another hub, which could not know this hub's undelivered events.
    const { runId } = run;
    const isKnownHere = this.#positions.has(runId) || this.outbox.delivered(runId) || this.outbox.onItsWay(runId);
    if ('lastSeq' in run && hasEnded(run.state) && !isKnownHere) return run;
    const { lastSeq, lastStep } = await this.of(run.runId);
    return { ...run, lastSeq, lastStep };
  }
}
