import type { CommandRecord } from '@plumbline/shared/command';
import { changesNothing, settingKinds } from '@plumbline/shared/command-change';
import { fromWireNumber, isMeasured, toWireNumber } from '@plumbline/shared/metric';
import type { RunTask } from '@plumbline/shared/run-description';
import type { RunOverview, SeriesOverview } from '@plumbline/shared/run-list';
import type { SeriesFacts } from '@plumbline/shared/series';
import { isMetricEvent } from '@plumbline/shared/trainer-event';
import type { StoredEvent } from '../../store/protocol-1.js';
import { headlinesOf, isTelling, maxHeadlines, rankOf, tellingSeries, type HeadlineFacts } from './headline-series.js';
import { Sparkline } from './sparkline.js';

/** Changes in an overview. */
const maxChanges = 20;

/** The overview of a run, which grows with its events. Its size is bounded, however long the run. */
export class RunCourse {
  /** The overview is complete up to this event. */
  lastSeq = 0;
  /** Candidates for headlines, in the order in which the trainer named them. */
  readonly #sparklines = new Map<string, Sparkline>(tellingSeries.map((name) => [name, new Sparkline()]));
  /** Declarations of candidates. */
  readonly #declared = new Map<string, SeriesFacts>();
  readonly #facts: HeadlineFacts;
  #hasValues = false;
  #changes: CommandRecord[] = [];

  /** @param tasks the tasks of the run's description */
  constructor(tasks: readonly RunTask[] = []) {
    this.#facts = { tasks, declared: this.#declared };
  }

  /** Names of the series that may become headlines. */
  get candidates(): string[] {
    return [...this.#sparklines.keys()];
  }

  /**
   * Takes declarations of series, in the order of the trainer.
   * @returns false where a series became a candidate that may have earlier values
   */
  declare(series: Iterable<SeriesFacts>): boolean {
    let isComplete = true;
    for (const facts of series) {
      const { name } = facts;
      const isNew = !this.#sparklines.has(name);
      this.#declared.set(name, facts);
      const hasReplaced = this.name([name]);
      if (!this.#sparklines.has(name)) this.#declared.delete(name);
      // It may have been declared before, less well, and was no candidate then.
      else if (isNew && hasReplaced && this.#hasValues) isComplete = false;
    }
    return isComplete;
  }

  /**
   * Takes names of series, in the order of the trainer. A full list keeps the best ranked.
   * @returns whether one took the place of another
   */
  name(names: Iterable<string>): boolean {
    let hasReplaced = false;
    for (const name of names) {
      if (this.#sparklines.has(name)) continue;
      if (isTelling(name)) {
        if (this.#sparklines.size < 2 * maxHeadlines) this.#sparklines.set(name, new Sparkline());
        continue;
      }
      const others = this.#others;
      if (others.length >= maxHeadlines || this.#sparklines.size >= 2 * maxHeadlines) {
        const worst = others.reduce<string | undefined>(
          (held, other) => (held !== undefined && this.#rank(held) > this.#rank(other) ? held : other),
          undefined,
        );
        if (worst === undefined || this.#rank(worst) <= this.#rank(name)) continue;
        this.#sparklines.delete(worst);
        this.#declared.delete(worst);
        hasReplaced = true;
      }
      this.#sparklines.set(name, new Sparkline());
    }
    return hasReplaced;
  }

  get #others(): string[] {
    return this.candidates.filter((name) => !isTelling(name));
  }

  #rank(name: string): number {
    return rankOf(name, this.#facts);
  }

  /** Takes the names that an event gives. @returns as `declare` does */
  nameFrom(event: StoredEvent): boolean {
    if (event.type === 'run_started') {
      const isComplete = this.declare(event.series ?? []);
      this.name(Object.keys(event.baseline));
      return isComplete;
    }
    if (event.type === 'series_declared') return this.declare(event.series);
    // Runs of the first version declare nothing. A full list takes no undeclared name: an event may have thousands.
    if (isMetricEvent(event) && this.#others.length < maxHeadlines) this.name(Object.keys(event.metrics));
    return true;
  }

  /**
   * Adds the next events; earlier ones are skipped.
   * @returns false where the overview must be read anew: events are missing in between, a segment supersedes earlier
   *   values, or a late declaration makes a headline of a series with earlier values
   */
  take(events: readonly StoredEvent[]): boolean {
    for (const event of events) {
      if (event.seq <= this.lastSeq) continue;
      if (event.seq > this.lastSeq + 1 || event.type === 'segment_started') return false;
      this.lastSeq = event.seq;
      if (!this.nameFrom(event)) return false;
      if (!isMetricEvent(event)) continue;
      this.#hasValues = true;
      for (const [name, sparkline] of this.#sparklines)
        if (Object.hasOwn(event.metrics, name)) sparkline.add(event.step, fromWireNumber(event.metrics[name]!));
    }
    return true;
  }

  /** Adds stored points of a series. */
  takeSeries(name: string, steps: ArrayLike<number>, values: ArrayLike<number>): void {
    this.#hasValues = true;
    const sparkline = this.#sparklines.get(name);
    for (let i = 0; sparkline && i < steps.length; i++) sparkline.add(steps[i]!, values[i]!);
  }

  lastValue(series: string): number | undefined {
    return this.#sparklines.get(series)?.last?.value;
  }

  /** Takes a command of the run that was given or has ended, and that no later segment has undone. */
  takeCommand(record: CommandRecord): void {
    if (
      record.state !== 'applied' ||
      !(settingKinds as readonly string[]).includes(record.action.kind) ||
      changesNothing(record)
    )
      return;
    const others = this.#changes.filter(({ commandId }) => commandId !== record.commandId);
    this.#changes = [...others, record].slice(-maxChanges);
  }

  get overview(): RunOverview {
    const named = [...this.#sparklines].flatMap(([name, { last }]) => (last ? [name] : []));
    return {
      lastSeq: this.lastSeq,
      series: headlinesOf(named, this.#facts).map((name) =>
        overviewOf(name, this.#sparklines.get(name)!, this.#declared.get(name)),
      ),
      changes: this.#changes,
    };
  }
}

function overviewOf(name: string, { last, points }: Sparkline, facts: SeriesFacts | undefined): SeriesOverview {
  return {
    name,
    ...(facts?.label !== undefined && { label: facts.label }),
    ...(facts?.unit !== undefined && { unit: facts.unit }),
    ...{ step: last!.step, value: toWireNumber(last!.value) },
    steps: points.map(({ step }) => step),
    values: points.map(({ value }) => (isMeasured(value) ? Number(value.toPrecision(4)) : toWireNumber(value))),
  };
}
