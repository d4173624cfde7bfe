import { wallTimeSeries } from '@plumbline/shared/metric';
import { recordOf } from '@plumbline/shared/record';
import type { MetricEvent } from '@plumbline/shared/trainer-event';

/** A choice of series: by names, and by prefixes that end in `*`. */
export class SeriesFilter {
  /** Equal for equal choices, in any order. */
  readonly key: string;
  readonly names: ReadonlySet<string>;
  readonly beginnings: readonly string[];

  constructor(asked: readonly string[]) {
    this.names = new Set(asked.filter((name) => !name.endsWith('*')));
    this.beginnings = [...new Set(asked.filter((name) => name.endsWith('*')).map((name) => name.slice(0, -1)))];
    this.key = JSON.stringify([[...this.names].sort(), [...this.beginnings].sort()]);
  }

  has(name: string): boolean {
    return this.names.has(name) || this.beginnings.some((beginning) => name.startsWith(beginning));
  }

  /** The events with only the chosen series; events without any are left out. */
  of(events: readonly MetricEvent[]): MetricEvent[] {
    const isTimed = this.has(wallTimeSeries);
    return events.flatMap((event) => {
      const metrics = this.#valuesOf(event.metrics);
      const isEmpty = Object.keys(metrics).length === 0;
      return isEmpty && !(isTimed && event.type === 'step_completed') ? [] : [{ ...event, metrics }];
    });
  }

  #valuesOf(all: MetricEvent['metrics']): MetricEvent['metrics'] {
    const found: MetricEvent['metrics'] = recordOf();
    for (const name of this.names) if (Object.hasOwn(all, name)) found[name] = all[name]!;
    if (this.beginnings.length > 0)
      for (const [name, value] of Object.entries(all)) if (this.has(name)) found[name] = value;
    return found;
  }
}
