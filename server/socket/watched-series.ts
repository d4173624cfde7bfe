import { wallTimeSeries } from '@plumbline/shared/metric';
import { recordOf } from '@plumbline/shared/record';
import type { MetricEvent } from '@plumbline/shared/trainer-event';
import type { SeriesFilter } from '../run/series-filter.js';

/** One filter and whom it serves. */
interface Watched {
  readonly filter: SeriesFilter;
  /** Connections that watch by it, also those that lag. */
  clients: number;
  /** A bit for each series of the run, by its number: whether the filter has it. */
  bits: Uint8Array;
  /** Series with a smaller number have been looked up. */
  lookedUp: number;
}

/** An event with the numbers of its series. */
interface NumberedEvent {
  readonly event: MetricEvent;
  readonly names: readonly string[];
  readonly numbers: readonly number[];
}

/**
 * What is watched of one run at this hub. Names repeat from event to event, so each filter looks up each name once and
 * remembers the answer as a bit; connections that watch the same share one filter.
 */
export class WatchedSeries {
  /** Numbers of the series that have come, in the order in which they came. */
  readonly #numbers = new Map<string, number>();
  readonly #names: string[] = [];
  readonly #watched = new Map<string, Watched>();

  get isEmpty(): boolean {
    return this.#watched.size === 0;
  }
  /** Keys of the filters, see SeriesFilter. */
  get keys(): Iterable<string> {
    return this.#watched.keys();
  }

  /** One more connection watches by this filter. */
  add(filter: SeriesFilter): void {
    const watched = this.#watched.get(filter.key);
    if (watched) watched.clients++;
    else this.#watched.set(filter.key, { filter, clients: 1, bits: new Uint8Array(0), lookedUp: 0 });
  }

  /** One connection less watches by the filter with this key. */
  remove(key: string): void {
    const watched = this.#watched.get(key);
    if (watched && --watched.clients === 0) this.#watched.delete(key);
  }

  /** The run is no more: one that is made anew under its id has other series. */
  forgetNames(): void {
    this.#numbers.clear();
    this.#names.length = 0;
    for (const watched of this.#watched.values()) Object.assign(watched, { bits: new Uint8Array(0), lookedUp: 0 });
  }

  /**
   * Prepares events, once for all filters.
   * @returns gives the events with the values that the filter with this key has; those without any are left out
   */
  selector(events: readonly MetricEvent[]): (key: string) => readonly MetricEvent[] {
    const numbered = events.map((event) => this.#number(event));
    return (key) => {
      const watched = this.#watched.get(key);
      if (!watched) return [];
      if (watched.filter.hasAll) return events;
      this.#lookUp(watched);
      const isTimed = watched.filter.has(wallTimeSeries);
      return numbered.flatMap((one) => selected(watched.bits, one, isTimed));
    };
  }

  #number(event: MetricEvent): NumberedEvent {
    const names = Object.keys(event.metrics);
    const numbers = names.map((name) => {
      const known = this.#numbers.get(name);
      if (known !== undefined) return known;
      this.#numbers.set(name, this.#names.length);
      return this.#names.push(name) - 1;
    });
    return { event, names, numbers };
  }

  #lookUp(watched: Watched): void {
    const count = this.#names.length;
    if (watched.bits.length * 8 < count) {
      const grown = new Uint8Array(Math.max(16, Math.ceil(count / 4)));
      grown.set(watched.bits);
      watched.bits = grown;
    }
    for (; watched.lookedUp < count; watched.lookedUp++) {
      const number = watched.lookedUp;
      if (watched.filter.has(this.#names[number]!)) watched.bits[number >> 3]! |= 1 << (number & 7);
    }
  }
}

function selected(bits: Uint8Array, { event, names, numbers }: NumberedEvent, isTimed: boolean): MetricEvent[] {
  let metrics: MetricEvent['metrics'] | null = null;
  for (const [i, number] of numbers.entries()) {
    if ((bits[number >> 3]! & (1 << (number & 7))) === 0) continue;
    metrics ??= recordOf();
    metrics[names[i]!] = event.metrics[names[i]!]!;
  }
  if (metrics) return [{ ...event, metrics }];
  return isTimed && event.type === 'step_completed' ? [{ ...event, metrics: recordOf() }] : [];
}
