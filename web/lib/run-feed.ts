import type { CommandRecord } from '@plumbline/shared/command';
import { smallAnswerValues } from '@plumbline/shared/request-limits';
import type { ControlEventsResponse, HistoryResponse } from '@plumbline/shared/http';
import { isLargeEvent, type LargeEventNotice } from '@plumbline/shared/large-event-notice';
import { recordOf } from '@plumbline/shared/record';
import type { RunId, RunProgress, RunSummary, Segment } from '@plumbline/shared/run';
import type { SeriesResponse } from '@plumbline/shared/series';
import { maxWatchedPrefixes, maxWatchedNames } from '@plumbline/shared/request-limits';
import type { MetricBatch } from '@plumbline/shared/socket';
import type { ControlEvent, MetricEvent } from '@plumbline/shared/trainer-event';
import type { SeriesDemand } from './series-demand';

/** The live messages that a feed listens to, whatever the transport. */
export interface FeedListener {
  connected(): void;
  metrics(batch: MetricBatch): void;
  control(event: ControlEvent | LargeEventNotice): void;
  run(run: RunSummary): void;
  progress(progress: RunProgress): void;
  command(record: CommandRecord): void;
  lagged(): void;
  deleted(): void;
}
export interface HistoryRange {
  metrics: readonly string[];
  fromStep?: number;
  toStep?: number;
  maxPoints: number;
}
export interface FeedTransport {
  /** Listens to live messages of a run. Calls `connected` at once if connected, and at each reconnection. */
  listen(runId: RunId, listener: FeedListener): () => void;
  /** Watches these series of a run, or groups of series, and no others. */
  watch(runId: RunId, series: readonly string[]): Promise<{ run: RunSummary; lastSeq: number }>;
  unwatch(runId: RunId): void;
  history(runId: RunId, range: HistoryRange): Promise<HistoryResponse>;
  /** The last point of each series; `drift/*` names a group. */
  latest(runId: RunId, series: readonly string[]): Promise<HistoryResponse>;
  series(runId: RunId): Promise<SeriesResponse>;
  events(runId: RunId): Promise<ControlEventsResponse>;
  commands(runId: RunId): Promise<CommandRecord[]>;
}
/** Takes what a feed receives. Everything may come twice: the event number shows it. */
export interface FeedSink {
  /** Which series are needed. The feed records in `complete` which of them have arrived. */
  readonly demand: SeriesDemand;
  /** @param isCurrent the summary answers `watch` */
  run(run: RunSummary, isCurrent?: boolean): void;
  progress(progress: RunProgress): void;
  history(history: HistoryResponse): void;
  metrics(events: readonly MetricEvent[]): void;
  /** Whether the hub has thinned a series: a window of its steps can be fetched at a finer resolution. */
  isThinned(name: string): boolean;
  /** Drops the course of a series, which is no longer needed or kept up to date. */
  forget(name: string): void;
  control(events: readonly ControlEvent[]): void;
  commands(records: readonly CommandRecord[]): void;
  phase(phase: FeedPhase, error: unknown): void;
  /** The run was deleted: nothing more comes. */
  deleted(): void;
}
/** `loading`: nothing yet. `catching_up`: the newest part may be missing. `failed`: the feed will try again by itself. */
export type FeedPhase = 'loading' | 'catching_up' | 'live' | 'failed';

/** Points of a series: enough for any screen, and fewer if very many series are drawn at once. */
const mostPoints = 4000;
const fewestPoints = 300;
/** Names in the first request, and in each of the others, as an address has a limited length. All answers are small. */
const namesFirst = Math.floor(smallAnswerValues / mostPoints);
const namesAtOnce = 100;
const addressCharacters = 6000;
/** Batches held while history is fetched. Beyond this the oldest are dropped, and the gap is fetched again. */
const maxHeldBatches = 2000;
const retryDelaysMs = [250, 1000, 2000, 5000];
/** Charts come into sight together, so their series are requested together. */
const demandDelayMs = 30;

/**
 * Fetches the history of series: the first few at screen resolution, the rest in as few requests as the length of an
 * address allows.
 * @param arrived called with each answer as it comes: the first few do not wait for the rest
 */
export async function fetchHistories(
  hub: Pick<FeedTransport, 'history'>,
  runId: RunId,
  names: readonly string[],
  range: { fromStep?: number; toStep?: number },
  arrived?: (answer: HistoryResponse) => void,
): Promise<HistoryResponse[]> {
  const rest = names.length - namesFirst;
  const pointsOfRest = Math.min(mostPoints, Math.max(fewestPoints, Math.floor(smallAnswerValues / rest)));
  return Promise.all(
    inParts(names).map(async (metrics, index) => {
      const wanted = index === 0 || rest <= 0 ? mostPoints : pointsOfRest;
      const maxPoints = Math.min(wanted, Math.floor(smallAnswerValues / metrics.length));
      const answer = await hub.history(runId, { ...range, metrics, maxPoints });
      arrived?.(answer);
      return answer;
    }),
  );
}

function inParts(names: readonly string[]): string[][] {
  const parts: string[][] = [];
  let characters = Infinity;
  for (const name of names) {
    const length = encodeURIComponent(name).length + 'metric=&'.length;
    const most = parts.length === 1 ? namesFirst : namesAtOnce;
    if (characters + length > addressCharacters || parts.at(-1)!.length >= most) {
      parts.push([]);
      characters = 0;
    }
    parts.at(-1)!.push(name);
    characters += length;
  }
  return parts;
}

/** Names to watch, at most as many as the hub takes. If there are more, names with the same prefix become one group. */
function watchable(names: Iterable<string>): string[] {
  const all = [...new Set(names)].sort();
  const isGroup = (name: string): boolean => name.endsWith('*');
  const mayAsk = (asked: readonly string[]): boolean =>
    asked.length <= maxWatchedNames && asked.filter(isGroup).length <= maxWatchedPrefixes;
  if (mayAsk(all)) return all;
  const groupOf = (name: string): string => (name.includes('/') ? `${name.slice(0, name.indexOf('/'))}/*` : name);
  const grouped = [...new Set(all.map(groupOf))];
  return mayAsk(grouped) ? grouped : ['*'];
}

/**
 * Follows one run without gaps. It watches the needed series, fetches their history once the hub has confirmed the watch,
 * and merges both by event number. A jump in the live event numbers, a reconnection and a `lagged` message all start the
 * same catch-up. A newly needed series is fetched beside it.
 */
export class RunFeed {
  /** Grows with each catch-up. Answers to requests of an older generation are dropped. */
  #generation = 0;
  #held: MetricBatch[] = [];
  #hasLetGo = false;
  #catchingUp = false;
  /** The sink has every event of each complete series up to this number. */
  #cursor = 0;
  #cursorStep = 0;
  #attempts = 0;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #stops: (() => void)[];
  #closed = false;
  #loaded = false;
  /** The last watch on this connection. All that the hub sends after its answer includes these series. */
  #watching: { key: string; answer: Promise<unknown> } | undefined;
  #joined = false;
  /** Counts the calls of `#follow`, and holds for each followed course the first of its unbroken run of calls. */
  #rounds = 0;
  #followedFrom = new Map<string, number>();
  /** Series and groups whose last values are here and kept up to date. */
  #lastsKnown = new Set<string>();
  /** Requests under way: each course with its entry in `#followedFrom`, each name with its request. */
  #coursesAsked = new Map<string, number>();
  #lastsAsked = new Map<string, symbol>();
  /** The generation that is being extended. An answer that an older one awaits may never come. */
  #extending: number | undefined;
  #hasNewDemand = false;
  #demandTimer: ReturnType<typeof setTimeout> | undefined;
  /** The visible window of steps; null while all are visible. */
  #window: readonly [number, number] | null = null;

  constructor(
    readonly runId: RunId,
    private readonly transport: FeedTransport,
    private readonly sink: FeedSink,
  ) {
    sink.phase('loading', undefined);
    this.#stops = [
      sink.demand.onChange(() => {
        this.#demandTimer ??= setTimeout(() => {
          this.#demandTimer = undefined;
          void this.#extend();
        }, demandDelayMs);
      }),
      transport.listen(runId, {
        connected: () => {
          this.#held = []; // left over from a lost connection
          this.#watching = undefined;
          this.#joined = false;
          void this.#catchUp();
        },
        metrics: (batch) => this.#take(batch),
        control: (event) => {
          if (!isLargeEvent(event)) sink.control([event]);
          if (event.type === 'segment_started') this.#goBack([event]);
          // The hub sends metrics in order: this is the next number, or there is a gap.
          this.#take({ runId, fromSeq: event.seq - 1, toSeq: event.seq, events: [] });
        },
        run: (run) => {
          sink.run(run);
          this.#goBack(run.segments);
          // A run that did not exist yet, such as a branch about to start, needs no wait for the next attempt.
          if (this.#retry) void this.#catchUp();
        },
        progress: (progress) => sink.progress(progress),
        command: (record) => sink.commands([record]),
        lagged: () => void this.#catchUp(),
        deleted: () => this.#deleted(),
      }),
    ];
  }

  #deleted(): void {
    this.close();
    this.sink.deleted();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#demandTimer);
    this.#generation++;
    for (const stop of this.#stops) stop();
    this.sink.demand.close();
    this.transport.unwatch(this.runId);
  }

  /** Fetches the drawn series again for a window of steps, at the window's own resolution; null shows all steps again. */
  async refine(window: readonly [number, number] | null): Promise<void> {
    this.#window = window;
    await this.#refine(this.sink.demand.drawn);
  }

  async #refine(names: readonly string[]): Promise<void> {
    const thinned = names.filter((name) => this.sink.isThinned(name));
    if (!this.#window || thinned.length === 0) return;
    const [fromStep, toStep] = this.#window;
    const answers = await fetchHistories(this.transport, this.runId, thinned, { fromStep, toStep });
    if (!this.#closed) for (const answer of answers) this.sink.history(answer);
  }

  #take(batch: MetricBatch): void {
    if (this.#catchingUp) {
      this.#held.push(batch);
      if (this.#held.length > maxHeldBatches) {
        this.#held.shift();
        this.#hasLetGo = true;
      }
    } else if (batch.fromSeq > this.#cursor) {
      this.#held.push(batch);
      void this.#catchUp();
    } else {
      this.#apply(batch);
    }
  }

  /** The sink skips the values that it has, series by series, as each was fetched at another moment. */
  #apply({ toSeq, events }: MetricBatch): void {
    if (events.length > 0) this.sink.metrics(events);
    if (toSeq <= this.#cursor) return;
    this.#cursor = toSeq;
    this.#cursorStep = Math.max(this.#cursorStep, events.at(-1)?.step ?? 0);
  }

  /** A new segment sends steps again from its beginning. */
  #goBack(segments: readonly Segment[] = []): void {
    for (const { seq, fromStep } of segments)
      if (seq > this.#cursor) this.#cursorStep = Math.min(this.#cursorStep, fromStep);
  }

  /**
   * Has the hub send the needed series. After its answer, every later value comes live.
   * @returns the watched series
   */
  async #watch(): Promise<Watched> {
    const { courses, lasts } = this.sink.demand;
    const names = watchable([...courses, ...lasts]);
    const key = JSON.stringify(names);
    if (this.#watching?.key !== key) {
      const answer = this.transport.watch(this.runId, names).then(({ run }) => {
        if (this.#closed) return;
        this.sink.run(run, true);
        this.#goBack(run.segments);
      });
      this.#watching = { key, answer };
    }
    // Also without a new watch: a series may be a course now and was a last value before, or the other way round.
    this.#follow(courses);
    const asked = this.#watching;
    const watched = { courses: courses.map((name) => [name, this.#followedFrom.get(name)!] as const), lasts };
    try {
      await asked.answer;
    } catch (error) {
      if (this.#watching === asked) this.#watching = undefined;
      throw error;
    }
    if (this.#watching === asked) this.#joined = true;
    return watched;
  }

  /** A series whose course is no longer followed is no longer complete, even if it is followed again soon. */
  #follow(courses: readonly string[]): void {
    const before = this.#followedFrom;
    const round = ++this.#rounds;
    this.#followedFrom = new Map(courses.map((name) => [name, before.get(name) ?? round]));
    for (const name of this.sink.demand.complete) if (!this.#followedFrom.has(name)) this.#forget(name);
  }

  /** Fetches every needed series: from the cursor if it is complete, else all of it. */
  async #catchUp(): Promise<void> {
    clearTimeout(this.#retry);
    this.#retry = undefined;
    const generation = ++this.#generation;
    const isCurrent = (): boolean => generation === this.#generation && !this.#closed;
    this.#catchingUp = true;
    this.#hasLetGo = false;
    this.#lastsKnown.clear();
    this.#lastsAsked.clear();
    this.#coursesAsked.clear();
    if (this.#loaded) this.sink.phase('catching_up', undefined);
    const { demand } = this.sink;
    try {
      const { courses, lasts } = await this.#watch();
      if (!isCurrent()) return;
      const names = courses.map(([name]) => name);
      void this.#fetchLasts(lasts, isCurrent);
      const [control, commands, ...histories] = await Promise.all([
        this.transport.events(this.runId),
        this.transport.commands(this.runId),
        this.#histories(
          names.filter((name) => demand.complete.has(name)),
          { fromStep: this.#cursorStep },
        ),
        this.#histories(
          names.filter((name) => !demand.complete.has(name)),
          {},
        ),
      ]);
      if (!isCurrent()) return;
      const answers = histories.flat();
      this.sink.control(control.events);
      this.sink.commands(commands);
      for (const answer of answers) this.sink.history(answer);
      // A series that was fetched beside this may lack dropped batches.
      if (this.#hasLetGo) throw new Gap();
      this.#loaded = true;
      this.#arrived(courses);
      this.#cursor = Math.max(this.#cursor, Math.min(control.lastSeq, ...answers.map(({ lastSeq }) => lastSeq)));
      this.#reached(answers);
      while (this.#held.length > 0) {
        if (this.#held[0]!.fromSeq > this.#cursor) throw new Gap();
        this.#apply(this.#held.shift()!);
      }
      this.#catchingUp = false;
      this.#attempts = 0;
      this.sink.phase('live', undefined);
      void this.#extend();
    } catch (error) {
      if (isCurrent()) this.#tryLater(error);
    }
  }

  /** Fetches newly needed series, and drops those no longer needed. */
  async #extend(): Promise<void> {
    // The first watch of a connection and each retry include all needed series.
    this.#hasNewDemand = true;
    const generation = this.#generation;
    if (this.#extending === generation || this.#closed || !this.#joined || this.#retry) return;
    this.#extending = generation;
    const isCurrent = (): boolean => generation === this.#generation && !this.#closed;
    try {
      while (isCurrent() && this.#hasNewDemand) {
        this.#hasNewDemand = false;
        await this.#extendOnce(isCurrent);
      }
    } catch (error) {
      if (isCurrent()) this.#tryLater(error);
    } finally {
      if (this.#extending === generation) this.#extending = undefined;
    }
  }

  async #extendOnce(isCurrent: () => boolean): Promise<void> {
    const { demand } = this.sink;
    const { courses, lasts } = await this.#watch();
    if (!isCurrent()) return;
    const neededLasts = new Set(lasts);
    for (const names of [this.#lastsKnown, this.#lastsAsked])
      for (const name of names.keys()) if (!neededLasts.has(name)) names.delete(name);
    // Requests run side by side: a chart that comes into sight does not wait for those before it.
    void this.#fetchCourses(
      courses.filter(([name, from]) => !demand.complete.has(name) && this.#coursesAsked.get(name) !== from),
      isCurrent,
    );
    void this.#fetchLasts(
      lasts.filter((name) => !this.#lastsKnown.has(name) && !this.#lastsAsked.has(name)),
      isCurrent,
    );
  }

  /** Fetches the whole course of series. A failure starts the next catch-up. */
  async #fetchCourses(courses: Watched['courses'], isCurrent: () => boolean): Promise<void> {
    if (courses.length === 0) return;
    const names = courses.map(([name]) => name);
    for (const [name, from] of courses) this.#coursesAsked.set(name, from);
    try {
      const answers = await fetchHistories(this.transport, this.runId, names, {}, (answer) => {
        if (isCurrent()) this.sink.history(answer);
      });
      if (!isCurrent()) return;
      for (const [name, from] of courses) if (this.#coursesAsked.get(name) === from) this.#coursesAsked.delete(name);
      this.#arrived(courses);
      this.#reached(answers);
      this.#refine(names).catch((error: unknown) => console.warn('The window could not be refined:', error));
    } catch (error) {
      if (isCurrent()) this.#tryLater(error);
    }
  }

  /** Fetches the last values of series and groups. A failure starts the next catch-up. */
  async #fetchLasts(names: readonly string[], isCurrent: () => boolean): Promise<void> {
    if (names.length === 0) return;
    const request = Symbol();
    for (const name of names) this.#lastsAsked.set(name, request);
    try {
      const latest = await this.transport.latest(this.runId, names);
      if (!isCurrent()) return;
      // A last value may be ahead of the live ones. In a course it would hide those before it.
      const alone = Object.entries(latest.series).filter(([name]) => !this.sink.demand.isCourse(name));
      this.sink.history({ ...latest, series: recordOf(alone) });
      for (const name of names)
        if (this.#lastsAsked.get(name) === request) {
          this.#lastsAsked.delete(name);
          this.#lastsKnown.add(name);
        }
    } catch (error) {
      if (isCurrent()) this.#tryLater(error);
    }
  }

  #histories(names: readonly string[], range: { fromStep?: number }): Promise<HistoryResponse[]> {
    return fetchHistories(this.transport, this.runId, names, range);
  }

  /** A series that was watched again meanwhile is fetched again: its values here are right but may have gaps. */
  #arrived(courses: Watched['courses']): void {
    for (const [name, from] of courses)
      if (this.#followedFrom.get(name) === from) this.sink.demand.complete.add(name);
      else if (!this.#followedFrom.has(name)) this.sink.forget(name);
  }

  #forget(name: string): void {
    this.sink.demand.complete.delete(name);
    this.sink.forget(name);
  }

  /** Events above the cursor have steps no lower than those at or below it. */
  #reached(answers: readonly HistoryResponse[]): void {
    for (const { series } of answers)
      for (const { seqs, steps } of Object.values(series)) {
        const index = seqs.findLastIndex((seq) => seq <= this.#cursor);
        if (index >= 0) this.#cursorStep = Math.max(this.#cursorStep, steps[index]!);
      }
  }

  #tryLater(error: unknown): void {
    if (error instanceof Gap) this.sink.phase('catching_up', undefined);
    else this.sink.phase('failed', error);
    const delayMs = retryDelaysMs[Math.min(this.#attempts++, retryDelaysMs.length - 1)]!;
    clearTimeout(this.#retry);
    this.#retry = setTimeout(() => void this.#catchUp(), delayMs);
  }
}

/** The watched series: each course with its entry in `#followedFrom`. */
interface Watched {
  courses: readonly (readonly [name: string, from: number])[];
  lasts: readonly string[];
}

/** The held batches begin above the end of the fetched history: fetch it again. */
class Gap extends Error {}
