import { wallTimeSeries } from '@plumbline/shared/metric';
import { recordOf } from '@plumbline/shared/record';
import type { MetricEvent } from '@plumbline/shared/trainer-event';
import type { SeriesFilter } from '../run/series-filter.js';

/** Characters of a value in a message, beside its name; of an event, and of a message beside its values. About. */
const valueCharacters = 24;
const envelopeCharacters = 100;

/** One filter and whom it serves. */
interface Watched {
  readonly filter: SeriesFilter;
  /** Connections that watch by it, also those that lag. */
  clients: number;
  /** How many of them have a session or the trainer token. */
  knownClients: number;
  /** A bit for each series of the run, by its number: whether the filter has it. */
  bits: Uint8Array;
  /** Series with a smaller number have been looked up. */
  lookedUp: number;
}

/** The part of events that a filter has. */
export interface Selected {
  readonly events: readonly MetricEvent[];
  /** About the length of the message. */
  readonly characters: number;
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

  /**
   * One more connection watches by this filter.
   * @param isKnown whether it has a session or the trainer token
   */
  add(filter: SeriesFilter, isKnown: boolean): void {
    const watched = this.#watched.get(filter.key) ?? {
      ...{ filter, clients: 0, knownClients: 0, bits: new Uint8Array(0), lookedUp: 0 },
    };
    watched.clients++;
    watched.knownClients += Number(isKnown);
    this.#watched.set(filter.key, watched);
  }

  /** One connection less watches by the filter with this key. */
  remove(key: string, isKnown: boolean): void {
    const watched = this.#watched.get(key);
    if (!watched) return;
    watched.knownClients -= Number(isKnown);
    if (--watched.clients === 0) this.#watched.delete(key);
  }

  /** Whether a client with a session or the trainer token watches by the filter with this key. */
  isOfKnown(key: string): boolean {
    return (this.#watched.get(key)?.knownClients ?? 0) > 0;
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
  selector(events: readonly MetricEvent[]): (key: string) => Selected {
    const numbered = events.map((event) => this.#number(event));
    return (key) => {
      const watched = this.#watched.get(key);
      if (!watched) return { events: [], characters: 0 };
      if (watched.filter.hasAll) return { events, characters: charactersOf(events) };
      this.#lookUp(watched);
      const isTimed = watched.filter.has(wallTimeSeries);
      const ofFilter = numbered.flatMap((one) => selected(watched.bits, one, isTimed));
      return { events: ofFilter, characters: charactersOf(ofFilter) };
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

function charactersOf(events: readonly MetricEvent[]): number {
  let characters = envelopeCharacters;
  for (const { metrics } of events) {
    characters += envelopeCharacters;
    for (const name in metrics) characters += name.length + valueCharacters;
  }
  return characters;
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
