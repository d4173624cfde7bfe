import { nonFiniteWords, toWireNumber, type WireNumber } from '@plumbline/shared/metric';
import { recordOf } from '@plumbline/shared/record';
import type { RunId } from '@plumbline/shared/run';
import { declarationsOf } from '@plumbline/shared/series-facts';
import type { SeriesDeclaration } from '@plumbline/shared/series';
import type { ControlEvent, MetricEvent, TrainerEvent } from '@plumbline/shared/trainer-event';
import {
  isWireMetricEvent,
  type EventProblem,
  type WireEvent,
  type WireMetricEvent,
} from '@plumbline/shared/wire-event';
import { StoreUnavailableError, type EventStore } from '../store/event-store.js';
import { eachOutline } from './control-events.js';

const words: readonly unknown[] = nonFiniteWords;

/**
 * The names behind a trainer's series numbers. Events name series by number on the wire and by name from here on. The
 * declarations are read from the stored events on first use.
 */
export class DeclaredSeries {
  #names: Map<number, string> | null = null;
  /** The last event that was read for them. */
  #readTo = 0;
  #runTo = 0;

  constructor(
    readonly runId: RunId,
    readonly store: Pick<EventStore, 'eachControlEvents'>,
  ) {}

  /** The lowest number above all declared ones. */
  get next(): number {
    let next = 0;
    for (const number of this.#names?.keys() ?? []) next = Math.max(next, number + 1);
    return next;
  }

  /** Drops the cache: another hub may write the run, or an append failed. */
  forget(): void {
    this.#names = null;
  }

  /**
   * Reads the stored declarations of the run up to `lastSeq`, unless all are known.
   * @param before reads only events below this number
   */
  async load(lastSeq: number, before = Infinity): Promise<void> {
    if (this.#names && this.#isComplete) return;
    const names = new Map<number, string>();
    const take = (event: ControlEvent): void => {
      if (event.seq >= before) return;
      for (const { number, name } of declarationsOf(event)) if (!names.has(number)) names.set(number, name);
    };
    // Nothing is stored of a new run.
    const read = lastSeq === 0 ? { lastSeq: 0 } : await this.#read(take);
    [this.#readTo, this.#runTo, this.#names] = [read.lastSeq, lastSeq, names];
  }

  #read(take: (event: ControlEvent) => void): Promise<{ lastSeq: number }> {
    return eachOutline(this.store, this.runId, take, { types: ['run_started', 'series_declared'] });
  }

  get #isComplete(): boolean {
    return this.#readTo >= this.#runTo;
  }

  /**
   * Converts an event into its stored form, and lists the omissions.
   * @throws StoreUnavailableError if it needs a declaration that another hub acknowledged and that cannot be read yet
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

/** Shortens a value that a trainer sent. A list or an object may be nested deeper than the stack. */
function shown(value: unknown): string | number {
  if (typeof value === 'number') return value;
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'object' && value !== null) return 'an object';
  const text = JSON.stringify(value) ?? String(value);
  return text.length > 40 ? `${text.slice(0, 40)}…` : text;
}
