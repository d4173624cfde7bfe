import { nonFiniteWords, toWireNumber, type WireNumber } from '@plumbline/shared/metric';
import { recordOf } from '@plumbline/shared/record';
import type { RunId } from '@plumbline/shared/run';
import type { SeriesDeclaration } from '@plumbline/shared/series';
import type { ControlEvent, MetricEvent, TrainerEvent } from '@plumbline/shared/trainer-event';
import {
  isWireMetricEvent,
  type EventProblem,
  type WireEvent,
  type WireMetricEvent,
} from '@plumbline/shared/wire-event';
import { StoreUnavailableError, type EventStore } from '../store/event-store.js';

const words: readonly unknown[] = nonFiniteWords;

/**
 * Which series the numbers of a run's trainer stand for. Events name their series by number on the wire, and by name from
 * here on. What was declared is read from the stored events when it is first asked for.
 */
export class DeclaredSeries {
  #names: Map<number, string> | null = null;
  /** Up to which event they were read. */
  #readTo = 0;
  #runTo = 0;

  constructor(
    readonly runId: RunId,
    readonly store: Pick<EventStore, 'eachControlEvents'>,
  ) {}

  /** The lowest number above all that stand for a series. */
  get next(): number {
    let next = 0;
    for (const number of this.#names?.keys() ?? []) next = Math.max(next, number + 1);
    return next;
  }

  /** Another hub may write the run from now on, or what was to be stored was not. */
  forget(): void {
    this.#names = null;
  }

  /**
   * Reads what is stored of the run, which goes up to `lastSeq`, unless all of it is known.
   * @param before only what events below this number declare
   */
  async load(lastSeq: number, before = Infinity): Promise<void> {
    if (this.#names && this.#isComplete) return;
    const names = new Map<number, string>();
    const take = (texts: readonly string[]): void => {
      for (const text of texts) {
        const event = JSON.parse(text) as ControlEvent;
        if (event.seq >= before || (event.type !== 'run_started' && event.type !== 'series_declared')) continue;
        for (const { number, name } of event.series ?? []) if (!names.has(number)) names.set(number, name);
      }
    };
    // Nothing is stored of a new run.
    const read = lastSeq === 0 ? { lastSeq: 0 } : await this.#read(take);
    [this.#readTo, this.#runTo, this.#names] = [read.lastSeq, lastSeq, names];
  }

  #read(take: (texts: readonly string[]) => void): Promise<{ lastSeq: number }> {
    return this.store.eachControlEvents(this.runId, take, { types: ['run_started', 'series_declared'] });
  }

  get #isComplete(): boolean {
    return this.#readTo >= this.#runTo;
  }

  /**
   * An event as it is stored, and what had to be left out of it.
   * @throws StoreUnavailableError where a declaration is needed that was acknowledged by another hub and cannot be read yet
   */
  resolve(event: WireEvent): { event: TrainerEvent; problems: EventProblem[] } {
    if (isWireMetricEvent(event)) return this.#named(event);
    if ((event.type !== 'run_started' && event.type !== 'series_declared') || !event.series?.length)
      return { event, problems: [] };
    const names = this.#known();
    this.#refuseIncomplete();
    const problems: EventProblem[] = [];
    const series = event.series.filter(({ number, name }: SeriesDeclaration) => {
      const held = names.get(number);
      names.set(number, held ?? name);
      if (held === undefined || held === name) return true;
      const problem = `number ${number} stands for ${held} already: give this series another number`;
      problems.push({ seq: event.seq, series: name, problem });
      return false;
    });
    return { event: problems.length > 0 ? { ...event, series } : event, problems };
  }

  #named({ series, values, ...event }: WireMetricEvent): { event: MetricEvent; problems: EventProblem[] } {
    const names = this.#known();
    const metrics = recordOf<WireNumber>();
    const problems: EventProblem[] = [];
    for (let i = 0; i < series.length; i++) {
      const number = series[i]!;
      const value = values[i]!;
      const name = names.get(number);
      if (name === undefined) {
        this.#refuseIncomplete();
        const problem = 'no series has this number: declare it with series_declared before its first value';
        problems.push({ seq: event.seq, series: shown(number), problem });
      } else if (name in metrics)
        problems.push({ seq: event.seq, series: name, problem: 'it comes twice in one event: the first value counts' });
      else if (typeof value === 'number') metrics[name] = toWireNumber(value);
      else if (words.includes(value)) metrics[name] = value;
      else {
        const problem = `a value is a number or one of the words ${nonFiniteWords.join(', ')}, not ${shown(value)}`;
        problems.push({ seq: event.seq, series: name, problem });
      }
    }
    return { event: { ...event, metrics }, problems };
  }

  #known(): Map<number, string> {
    if (this.#names) return this.#names;
    throw this.#unreadable();
  }

  #refuseIncomplete(): void {
    if (!this.#isComplete) throw this.#unreadable();
  }

  #unreadable(): StoreUnavailableError {
    return new StoreUnavailableError(
      `The series of ${this.runId} cannot be read up to event ${this.#runTo} yet, only up to ${this.#readTo}. Try again.`,
    );
  }
}

/** What a trainer has sent, in a few characters. */
function shown(value: unknown): string | number {
  if (typeof value === 'number') return value;
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
