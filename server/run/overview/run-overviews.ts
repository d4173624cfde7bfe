import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LRUCache } from 'lru-cache';
import type { CommandRecord } from '@plumbline/shared/command';
import { z } from 'zod';
import { fromWireNumber } from '@plumbline/shared/metric';
import { hasEnded, RunId, type RunSummary } from '@plumbline/shared/run';
import { RunOverview } from '@plumbline/shared/run-list';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import type { EventStore } from '../../store/event-store.js';
import { controlEventsOf } from '../control-events.js';
import { storedUndoneCommands } from '../events-in-force.js';
import { Mailbox } from '../mailbox.js';
import { RunCourse } from './run-course.js';

/** The most overviews of ended runs in memory, as texts of about 2 kB; others are read from their files. */
const maxHeld = 2000;
/** The first events of a stored run, in which its series are found. */
const firstEvents = 100;
const storedPoints = 60;
/** The maximum age of the overview of another hub's run. */
const readAgainMs = 5_000;
/** The most values of a run's events that wait while its past is read: about 16 MB. Later ones are read afterwards. */
const maxWaiting = 200_000;
/** Pause between the end of a run and the write of its overview. */
const keepAfterMs = 500;
/** Files of other formats are rebuilt. */
const format = 4;
const OverviewFile = z.object({ format: z.literal(format), createdMs: z.number(), overview: RunOverview });
const emptyOverview = JSON.stringify({ lastSeq: 0, series: [], changes: [] } satisfies RunOverview);

/** A serialized overview. */
interface Kept {
  createdMs: number;
  lastSeq: number;
  /** The `RunOverview` as JSON. */
  text: string;
}

export interface RunOverviewsOptions {
  store: EventStore;
  /** The folder for the overviews of ended runs, one file each. They can be rebuilt from the store. */
  folder: string;
  find: (runId: RunId) => RunSummary | null;
  onError: (error: unknown) => void;
}

/**
 * The overviews of runs for the list. Those of running runs grow with their events. Unknown ones, as after a restart, are
 * read from the store once, one run at a time. Those of ended runs are cached in files.
 */
export class RunOverviews {
  /** The overviews of running runs. */
  readonly #courses = new Map<RunId, RunCourse>();
  readonly #held = new LRUCache<RunId, Kept>({ max: maxHeld });
  /** The last values of headline series, as sort keys, of all runs whose overview was read. */
  readonly #lasts = new Map<RunId, { createdMs: number; values: Map<string, number> }>();
  /** Reads runs from the store, one after another. */
  readonly #reads = new Mailbox();
  /** Pending reads by run. */
  readonly #asked = new Map<RunId, Promise<void>>();
  /** The run that is being read, and its events that arrived meanwhile. */
  #reading: { runId: RunId; waiting: TrainerEvent[]; values: number } | null = null;
  readonly #readMs = new Map<RunId, number>();
  #isClosed = false;

  constructor(readonly options: RunOverviewsOptions) {}

  /** Takes new durable events of a run. */
  events(runId: RunId, events: readonly TrainerEvent[]): void {
    if (this.#reading?.runId === runId) this.#wait(this.#reading, events);
    let course = this.#courses.get(runId);
    if (!course && events[0]?.seq === 1) this.#courses.set(runId, (course = this.#newCourse(runId)));
    if (course && !course.take(events)) this.#courses.delete(runId);
  }

  #wait(reading: { waiting: TrainerEvent[]; values: number }, events: readonly TrainerEvent[]): void {
    for (const event of events) {
      reading.values += valuesOf(event);
      // The following events are left out, too: the overview would lack this one.
      if (reading.values > maxWaiting) return;
      reading.waiting.push(event);
    }
  }

  #newCourse(runId: RunId): RunCourse {
    return new RunCourse(this.options.find(runId)?.description.tasks);
  }

  command(record: CommandRecord): void {
    this.#courses.get(record.runId)?.takeCommand(record);
  }

  /** Takes a changed run. The overview of an ended run is saved a moment later, after the ends of its commands. */
  run({ runId, state }: RunSummary): void {
    if (!hasEnded(state) || !this.#courses.has(runId)) return;
    const keep = (): void => {
      const [run, course] = [this.options.find(runId), this.#courses.get(runId)];
      if (run && course && hasEnded(run.state) && course.lastSeq === run.lastSeq) this.#keep(run, course);
    };
    setTimeout(keep, keepAfterMs).unref();
  }

  /** Forgets a deleted run. */
  deleted(runId: RunId): void {
    for (const map of [this.#courses, this.#held, this.#lasts, this.#readMs]) map.delete(runId);
    void rm(this.#file(runId), { force: true }).catch(this.options.onError);
  }

  /** Stops all reads. */
  close(): void {
    this.#isClosed = true;
  }

  /** The overviews of runs as JSON; null for those not read within `waitMs`, which are read afterwards. */
  async of(runs: readonly RunSummary[], waitMs: number): Promise<(string | null)[]> {
    await Promise.all(runs.map((run) => this.#isCurrent(run) || this.#readFile(run)));
    const reads = runs.filter((run) => !this.#isCurrent(run)).map((run) => this.#read(run));
    if (reads.length > 0) await Promise.race([Promise.all(reads), sleep(waitMs, undefined, { ref: false })]);
    return runs.map(({ runId, createdMs, lastSeq }) => {
      const course = this.#courses.get(runId);
      if (course && course.lastSeq >= lastSeq) return JSON.stringify(course.overview);
      if (lastSeq === 0) return emptyOverview;
      const held = this.#held.get(runId);
      // For a run at another hub, the last overview that was read.
      return held?.createdMs === createdMs ? held.text : null;
    });
  }

  /** The last value of a headline series, if the run's overview was read. */
  lastValue({ runId, createdMs }: RunSummary, series: string): number | undefined {
    const known = this.#lasts.get(runId);
    const seen = known?.createdMs === createdMs ? known.values.get(series) : undefined;
    return this.#courses.get(runId)?.lastValue(series) ?? seen;
  }

  /** Reads the last values of runs, of as many as possible within `waitMs`. */
  async see(runs: readonly RunSummary[], waitMs: number): Promise<void> {
    const unseen = runs.filter(({ runId }) => !this.#courses.has(runId) && !this.#lasts.has(runId));
    const endMs = performance.now() + waitMs;
    // In parts, because the cache may evict earlier ones.
    for (let from = 0; from < unseen.length; from += maxHeld / 2)
      await this.of(unseen.slice(from, from + maxHeld / 2), Math.max(0, endMs - performance.now()));
  }

  /** Whether the known overview includes the run's newest event. */
  #isCurrent({ runId, createdMs, lastSeq }: RunSummary): boolean {
    const held = this.#held.get(runId);
    return (
      lastSeq === 0 ||
      (this.#courses.get(runId)?.lastSeq ?? -1) >= lastSeq ||
      (held?.createdMs === createdMs && held.lastSeq === lastSeq)
    );
  }

  #file(runId: RunId): string {
    return join(this.options.folder, `${RunId.parse(runId)}.json`);
  }

  #hold(run: RunSummary, overview: RunOverview): Kept {
    const { runId, createdMs } = run;
    const kept = { createdMs, lastSeq: overview.lastSeq, text: JSON.stringify(overview) };
    this.#held.set(runId, kept);
    const values = new Map(overview.series.map(({ name, value }) => [name, fromWireNumber(value)]));
    this.#lasts.set(runId, { createdMs, values });
    return kept;
  }

  /** Caches the final overview of an ended run. */
  #keep(run: RunSummary, course: RunCourse): void {
    const { createdMs, text } = this.#hold(run, course.overview);
    this.#courses.delete(run.runId);
    const write = async (): Promise<void> => {
      await mkdir(this.options.folder, { recursive: true });
      await writeFile(this.#file(run.runId), `{"format":${format},"createdMs":${createdMs},"overview":${text}}`);
    };
    void write().catch(this.options.onError);
  }

  /** Reads the file of an ended run; a missing or outdated file is ignored. */
  async #readFile(run: RunSummary): Promise<void> {
    if (!hasEnded(run.state)) return;
    const text = await readFile(this.#file(run.runId), 'utf8').catch(() => null);
    if (text === null) return;
    try {
      const { createdMs, overview } = OverviewFile.parse(JSON.parse(text));
      if (createdMs === run.createdMs && overview.lastSeq === run.lastSeq) this.#hold(run, overview);
    } catch {
      // Truncated, or of another format: it is rebuilt.
    }
  }

  /** @returns resolves when the run was read from the store */
  async #read({ runId }: RunSummary): Promise<void> {
    const asked = this.#asked.get(runId);
    if (asked) return asked;
    if (Date.now() - (this.#readMs.get(runId) ?? 0) < readAgainMs) return;
    const reading = this.#reads.post(() => this.#readOne(runId));
    this.#asked.set(runId, reading);
    return reading;
  }

  async #readOne(runId: RunId): Promise<void> {
    try {
      const run = this.options.find(runId);
      if (run && !this.#isClosed) await this.#readStore(run);
    } catch (error) {
      if (!this.#isClosed) this.options.onError(error);
    }
    this.#reading = null;
    this.#readMs.set(runId, Date.now());
    this.#asked.delete(runId);
  }

  async #readStore(run: RunSummary): Promise<void> {
    const { store } = this.options;
    const { runId } = run;
    const reading = (this.#reading = { runId, waiting: [], values: 0 });
    const course = this.#newCourse(runId);
    const { events } = await controlEventsOf(store, runId, { types: ['run_started', 'series_declared'] });
    for (const event of events) course.nameFrom(event);
    // The first event has just been read, and it may be long.
    const first = events[0]?.seq === 1 ? 2 : 1;
    for (const event of await store.events(runId, first, firstEvents)) course.nameFrom(event);
    const { lastSeq, series } = await store.history(runId, {
      ...{ metrics: course.candidates, segments: run.segments, maxPoints: storedPoints },
    });
    for (const [name, { steps, values }] of series) course.takeSeries(name, steps, values);
    const undone = await storedUndoneCommands(store, run);
    for (const record of await store.commands(runId)) if (!undone.has(record.commandId)) course.takeCommand(record);
    course.lastSeq = lastSeq;
    const isWhole = course.take(reading.waiting);
    const now = this.options.find(runId);
    if (now?.createdMs !== run.createdMs) return;
    this.#hold(now, course.overview);
    if (!isWhole) return;
    if (hasEnded(now.state) && course.lastSeq === now.lastSeq) this.#keep(now, course);
    else if (!hasEnded(now.state)) this.#courses.set(runId, course);
  }
}

/** How many values an event has, or entries of its lists. */
const valuesOf = (event: TrainerEvent): number =>
  Object.values(event).reduce(
    (sum: number, value: unknown) => sum + (typeof value === 'object' && value ? Object.keys(value).length : 1),
    0,
  );
