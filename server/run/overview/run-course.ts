import type { CommandRecord } from '@plumbline/shared/command';
import { changesNothing } from '@plumbline/shared/command-change';
import { fromWireNumber, toWireNumber } from '@plumbline/shared/metric';
import type { RunOverview, SeriesOverview } from '@plumbline/shared/run-list';
import { isMetricEvent } from '@plumbline/shared/trainer-event';
import type { StoredEvent } from '../../store/protocol-1.js';
import { headlinesOf, isTelling, maxHeadlines, tellingSeries } from './headline-series.js';
import { Sparkline } from './sparkline.js';

/** Changes that an overview tells of. */
const maxChanges = 20;
const changing: readonly string[] = ['set_trainable', 'set_learning_rate', 'lower_learning_rate'];

/** What a list shows of a run, as its events come in: of bounded size, however long the run. */
export class RunCourse {
  /** Up to this event everything is in it. */
  lastSeq = 0;
  readonly #sparklines = new Map<string, Sparkline>(tellingSeries.map((name) => [name, new Sparkline()]));
  /** The first other series, in the order in which they were named. */
  #others = 0;
  #changes: CommandRecord[] = [];

  /** Names of series that may be headlines, of those that the run was seen to have. */
  get candidates(): string[] {
    return [...this.#sparklines.keys()];
  }

  /** Notes names of series, in the order in which the trainer gives them. */
  name(names: Iterable<string>): void {
    for (const name of names) {
      if (this.#sparklines.has(name) || this.#sparklines.size >= 2 * maxHeadlines) continue;
      if (!isTelling(name) && this.#others++ >= maxHeadlines) continue;
      this.#sparklines.set(name, new Sparkline());
    }
  }

  /** Notes what series an event names. */
  nameFrom(event: StoredEvent): void {
    if (event.type === 'run_started') this.name(Object.keys(event.baseline));
    // Few are looked at: an event may have tens of thousands.
    else if (isMetricEvent(event) && this.#others < maxHeadlines) this.name(Object.keys(event.metrics));
  }

  /**
   * Adds events that follow on those before; earlier ones are skipped.
   * @returns false where the course has to be read anew: events are missing between, or a segment begins, which takes the
   *   place of some of what is in it
   */
  take(events: readonly StoredEvent[]): boolean {
    for (const event of events) {
      if (event.seq <= this.lastSeq) continue;
      if (event.seq > this.lastSeq + 1 || event.type === 'segment_started') return false;
      this.lastSeq = event.seq;
      this.nameFrom(event);
      if (!isMetricEvent(event)) continue;
      for (const [name, sparkline] of this.#sparklines)
        if (Object.hasOwn(event.metrics, name)) sparkline.add(event.step, fromWireNumber(event.metrics[name]!));
    }
    return true;
  }

  /** Adds part of a series' course as the store has it. */
  takeSeries(name: string, steps: ArrayLike<number>, values: ArrayLike<number>): void {
    const sparkline = this.#sparklines.get(name);
    for (let i = 0; sparkline && i < steps.length; i++) sparkline.add(steps[i]!, values[i]!);
  }

  lastValue(series: string): number | undefined {
    return this.#sparklines.get(series)?.last?.value;
  }

  /** A command of the run was given or has ended. */
  takeCommand(record: CommandRecord): void {
    if (record.state !== 'applied' || !changing.includes(record.action.kind) || changesNothing(record)) return;
    const others = this.#changes.filter(({ commandId }) => commandId !== record.commandId);
    this.#changes = [...others, record].slice(-maxChanges);
  }

  get overview(): RunOverview {
    const named = [...this.#sparklines].flatMap(([name, { last }]) => (last ? [name] : []));
    return {
      lastSeq: this.lastSeq,
      series: headlinesOf(named).map((name) => overviewOf(name, this.#sparklines.get(name)!)),
      changes: this.#changes,
    };
  }
}

function overviewOf(name: string, { last, points }: Sparkline): SeriesOverview {
  return {
    ...{ name, step: last!.step, value: toWireNumber(last!.value) },
    steps: points.map(({ step }) => step),
    values: points.map(({ value }) => Number(value.toPrecision(4))),
  };
}
