import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { HistoryResponse } from '@plumbline/shared/http';
import { fromWireNumber, wallTimeSeries } from '@plumbline/shared/metric';
import { entryOf } from '@plumbline/shared/record';
import type { ModelRecipe } from '@plumbline/shared/parameter';
import { type RunProgress, type RunSummary, isSuperseded } from '@plumbline/shared/run';
import { withProgress } from '@plumbline/shared/run-progress';
import { declaredIn } from '@plumbline/shared/series-facts';
import type { SeriesFacts, SeriesResponse } from '@plumbline/shared/series';
import { stageAt, stagesOf, type Stage } from '@plumbline/shared/stage';
import type { ControlEvent, MetricEvent } from '@plumbline/shared/trainer-event';
import { joinColumns, type Columns } from '../charts/columns';
import { eventsInForce, undoneCommands } from '@plumbline/shared/segments';
import type { FeedPhase, FeedSink } from './run-feed';
import type { RunPast } from './run-past';
import { SeriesBuffer } from './series-buffer';
import { SeriesDemand } from './series-demand';

type EventOf<T extends ControlEvent['type']> = Extract<ControlEvent, { type: T }>;

/** The number of values kept of a series whose course is not needed. The pace is computed from them. */
const lastValuesKept = 64;

/** All that this browser knows of one run. Charts follow `onData`; components follow `onChange`, at most 5 times a second. */
export class RunStore implements FeedSink {
  runSummary: RunSummary | null = null;
  feedPhase: FeedPhase = 'loading';
  feedError: unknown = undefined;
  /** Which series are needed now. */
  readonly demand = new SeriesDemand();
  /** The run was deleted: this store has all that is left of it. */
  isDeleted = false;
  readonly series = new Map<string, SeriesBuffer>();
  readonly commandRecords = new Map<CommandId, CommandRecord>();
  /** Ascending by seq. */
  controlEvents: ControlEvent[] = [];
  /** The history before a branch began, once it is read. */
  past: RunPast | null = null;
  /** Grows with every change that components may see. */
  version = 0;

  #facts: ReadonlyMap<string, SeriesFacts> = new Map();
  #inForce: readonly ControlEvent[] = [];
  /** The events that `#inForce` was made from. */
  #inForceOf: readonly ControlEvent[] = [];
  /** The events and the list that `#facts` was made from. */
  #factsOf: readonly unknown[] = [];
  /** All series of the run, once the list was fetched. */
  #listed: SeriesResponse['series'] | null = null;
  readonly #dataListeners = new Set<() => void>();
  readonly #changeListeners = new Set<() => void>();
  #changeTimer: ReturnType<typeof setTimeout> | undefined;

  onData = (listener: () => void): (() => void) => {
    this.#dataListeners.add(listener);
    return () => this.#dataListeners.delete(listener);
  };
  onChange = (listener: () => void): (() => void) => {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  };

  /** The buffer of a metric. It is created on first use, so that a chart can hold it before its first value. */
  buffer(metric: string): SeriesBuffer {
    let buffer = this.series.get(metric);
    if (!buffer) {
      buffer = new SeriesBuffer();
      this.series.set(metric, buffer);
    }
    return buffer;
  }

  /** The newest event of a type. */
  latest<T extends ControlEvent['type']>(type: T): EventOf<T> | undefined {
    return this.controlEvents.findLast((event): event is EventOf<T> => event.type === type);
  }

  /** The run's series by name: as declared, in that order, then others from the hub's list. */
  get declared(): ReadonlyMap<string, SeriesFacts> {
    const [events, listed] = this.#factsOf;
    if (events !== this.controlEvents || listed !== this.#listed) {
      const facts = new Map<string, SeriesFacts>(declaredIn(this.controlEvents));
      for (const { last: _, ...series } of this.#listed ?? [])
        if (!facts.has(series.name)) facts.set(series.name, series);
      [this.#facts, this.#factsOf] = [facts, [this.controlEvents, this.#listed]];
    }
    return this.#facts;
  }

  /** Names of the run's known series: declared, listed, or with a value. */
  get seriesNames(): Set<string> {
    const names = new Set(this.declared.keys());
    for (const [name, { length }] of this.series) if (length > 0) names.add(name);
    names.delete(wallTimeSeries);
    return names;
  }

  /** Whether the list of all series has arrived. Without it, undeclared series may be missing. */
  get isListed(): boolean {
    return this.#listed !== null;
  }

  /** Whether the course of one of these series is still being fetched. */
  isLoading = (names: readonly string[]): boolean => names.some((name) => !this.demand.complete.has(name));
  /** Registers a visible chart that draws these series: they are fetched and followed. @returns ends the registration */
  draw = (names: readonly string[]): (() => void) => this.demand.draw(names);

  /** The control events that no later segment has undone. */
  get eventsInForce(): readonly ControlEvent[] {
    if (this.#inForceOf !== this.controlEvents) {
      this.#inForceOf = this.controlEvents;
      this.#inForce = eventsInForce(this.controlEvents);
    }
    return this.#inForce;
  }

  /** The trainer's selections: the one at the start, and each change in force. */
  get selections(): readonly EventOf<'run_started' | 'trainable_changed'>[] {
    return this.eventsInForce.filter((event) => event.type === 'run_started' || event.type === 'trainable_changed');
  }

  /** Names of the parameters that train now; undefined before the trainer has sent them. */
  get trainable(): readonly string[] | undefined {
    return this.selections.at(-1)?.trainable;
  }

  /** The recipes that the trainer has sent with its model; empty before that. */
  get recipes(): readonly ModelRecipe[] {
    return this.latest('run_started')?.model.recipes ?? [];
  }

  /** The current stage; undefined if the run has none or has not sent it. */
  get stage(): Stage | undefined {
    if (!this.runSummary) return undefined;
    return stageAt(stagesOf(this.runSummary.description, this.eventsInForce), this.runSummary.lastStep);
  }

  /** The run's own commands, without those whose effect a later segment has undone. */
  get ownCommands(): readonly CommandRecord[] {
    const undone = undoneCommands(this.controlEvents);
    return [...this.commandRecords.values()].filter(({ commandId }) => !undone.has(commandId));
  }

  /** The commands in force in this run. */
  get changesInForce(): readonly CommandRecord[] {
    return [...(this.past?.inForce ?? []), ...this.ownCommands];
  }

  /**
   * The course of a metric before a branch began, as charts draw it. It leads to the branch's own first value, unless
   * values are missing between.
   */
  courseBefore(metric: string): Columns | undefined {
    const past = this.past?.columns.get(metric);
    const own = this.series.get(metric);
    if (!past?.length || !own?.length) return past;
    const last = past.length - 1;
    const usual = past.reach[last]!;
    const farthest = Math.max(own.rhythm, Number.isFinite(usual) ? usual : 0);
    const distance = own.steps[0]! - past.steps[last]!;
    // Between two single values, nothing shows that others are missing.
    if (distance <= 0 || (farthest > 0 && distance > farthest)) return past;
    return joinColumns([past, own].map((columns) => ({ columns, length: columns === own ? 1 : columns.length })));
  }

  /** All values of a metric, in order. A branch includes its ancestors' values up to the branch point. */
  wholeCourse(metric: string): Float64Array {
    const parts = [this.past?.columns.get(metric), this.series.get(metric)].filter((part) => part !== undefined);
    return joinColumns(parts.map((columns) => ({ columns, length: columns.length }))).values;
  }

  baseline(metric: string): number | undefined {
    const value = entryOf(this.latest('run_started')?.baseline ?? {}, metric);
    return value === undefined ? undefined : fromWireNumber(value);
  }

  /** The first step with data. */
  get firstStep(): number {
    const eldest = this.past?.ancestors.at(-1) ?? this.runSummary;
    return eldest?.parent?.step ?? 0;
  }

  pastIs(past: RunPast | null): void {
    this.past = past;
    this.#dataChanged();
    this.#changed();
  }
  /** Takes courses of series from before a branch, and drops those no longer needed. */
  pastCourses(courses: ReadonlyMap<string, Columns>): void {
    if (!this.past) return;
    const kept = [...this.past.columns, ...courses].filter(([name]) => this.demand.isCourse(name));
    this.past = { ...this.past, columns: new Map(kept) };
    this.#dataChanged();
  }
  /** Takes the hub's list of all series. */
  seriesAre({ series }: SeriesResponse): void {
    this.#listed = series;
    this.#changed();
  }
  /**
   * Takes the run's summary unless it is older than the known one.
   * @param isCurrent the summary answers `watch` and counts whatever its revision: revisions follow the hub's clock
   */
  run(run: RunSummary, isCurrent = false): void {
    const before = this.runSummary;
    if (!isCurrent && before?.createdMs === run.createdMs) {
      if (before.revision !== undefined && run.revision !== undefined) {
        if (run.revision < before.revision) return;
      } else if (run.lastSeq < before.lastSeq && run.state === before.state) return;
    }
    // A branch is at its branch point until its trainer has sent a step.
    const summary = { ...run, lastStep: Math.max(run.lastStep, run.parent?.step ?? 0) };
    // Progress that arrived before this change is newer.
    const isBehind = before?.createdMs === run.createdMs && before.lastSeq > run.lastSeq;
    this.runSummary = isBehind ? { ...summary, lastSeq: before.lastSeq, lastStep: before.lastStep } : summary;
    this.#changed();
  }
  progress(progress: RunProgress): void {
    if (!this.runSummary) return;
    this.runSummary = withProgress(this.runSummary, progress);
    this.#changed();
  }
  history(history: HistoryResponse): void {
    const segments = this.#segments;
    for (const [metric, series] of Object.entries(history.series)) {
      const buffer = this.buffer(metric);
      buffer.merge(series);
      for (const segment of segments) buffer.supersede(segment);
      if (this.demand.isLastOnly(metric)) buffer.keepLast(lastValuesKept);
    }
    this.#dataChanged();
  }
  metrics(events: readonly MetricEvent[]): void {
    const segments = this.#segments;
    const current = segments.length === 0 ? events : events.filter((event) => !isSuperseded(segments, event));
    for (const { type, seq, step, wallTimeMs, metrics } of current) {
      for (const [metric, value] of Object.entries(metrics)) this.#append(metric, seq, step, fromWireNumber(value));
      if (type === 'step_completed' && this.demand.isNeeded(wallTimeSeries))
        this.#append(wallTimeSeries, seq, step, wallTimeMs);
    }
    const last = current.at(-1);
    if (last && this.runSummary && last.step > this.runSummary.lastStep)
      this.runSummary = { ...this.runSummary, lastStep: last.step };
    this.#dataChanged();
  }
  #append(metric: string, seq: number, step: number, value: number): void {
    const buffer = this.buffer(metric);
    buffer.append(seq, step, value);
    if (buffer.length > 2 * lastValuesKept && this.demand.isLastOnly(metric)) buffer.keepLast(lastValuesKept);
  }
  isThinned(metric: string): boolean {
    return this.series.get(metric)?.thinned ?? false;
  }
  forget(metric: string): void {
    this.series.get(metric)?.keepLast(this.demand.isLastOnly(metric) ? lastValuesKept : 0);
    this.#dataChanged();
  }
  get #segments(): readonly EventOf<'segment_started'>[] {
    return this.controlEvents.filter((event) => event.type === 'segment_started');
  }
  control(events: readonly ControlEvent[]): void {
    const held = new Set(this.controlEvents.map((event) => event.seq));
    const fresh = events.filter((event) => !held.has(event.seq));
    if (fresh.length === 0) return;
    this.controlEvents = [...this.controlEvents, ...fresh].sort((a, b) => a.seq - b.seq);
    for (const event of fresh)
      if (event.type === 'segment_started') {
        for (const buffer of this.series.values()) buffer.supersede(event);
        if (this.runSummary && event.seq > this.runSummary.lastSeq)
          this.runSummary = { ...this.runSummary, lastSeq: event.seq, lastStep: event.fromStep };
      }
    this.#dataChanged();
    this.#changed();
  }
  commands(records: readonly CommandRecord[]): void {
    for (const record of records) {
      const held = this.commandRecords.get(record.commandId);
      // A command ends once: a later message that it is pending is outdated.
      if (held && held.state !== 'pending' && record.state === 'pending') continue;
      this.commandRecords.set(record.commandId, record);
    }
    this.#dataChanged();
    this.#changed();
  }
  phase(phase: FeedPhase, error: unknown): void {
    this.feedPhase = phase;
    this.feedError = error;
    this.#changed();
  }

  deleted(): void {
    this.isDeleted = true;
    this.#changed();
  }

  #dataChanged(): void {
    for (const listener of this.#dataListeners) listener();
    this.#changeTimer ??= setTimeout(() => this.#changed(), 200);
  }
  #changed(): void {
    clearTimeout(this.#changeTimer);
    this.#changeTimer = undefined;
    this.version++;
    for (const listener of this.#changeListeners) listener();
  }
}
