import type { WireMetrics } from '@plumbline/shared/metric';
import type { SeriesDeclaration } from '@plumbline/shared/series';
import { isMetricEvent, type TrainerEvent } from '@plumbline/shared/trainer-event';

/** Values that wait, of all runs together: about 80 MB. */
const maxValues = 1_000_000;

/** What rules need of an event. */
export interface RuleEvent {
  seq: number;
  step: number;
  isSegment: boolean;
  metrics: WireMetrics | null;
  baseline: WireMetrics | null;
  series: readonly SeriesDeclaration[] | null;
}

/** Leaves out what no rule looks at, such as the description of the model. */
export function ruleEventOf(event: TrainerEvent): RuleEvent {
  const { seq, step, type } = event;
  return {
    ...{ seq, step, isSegment: type === 'segment_started' },
    metrics: isMetricEvent(event) ? event.metrics : null,
    baseline: type === 'run_started' ? event.baseline : null,
    series: type === 'run_started' || type === 'series_declared' ? (event.series ?? []) : null,
  };
}

const valuesOf = ({ metrics, baseline, series }: RuleEvent): number =>
  1 + Object.keys(metrics ?? {}).length + Object.keys(baseline ?? {}).length + (series?.length ?? 0);

/**
 * Bounds what waits in the backlogs of all runs while their rules cannot be evaluated, as the store is away. Where it is
 * too much, the longest backlog loses its oldest events: they are read from the store, or count as missing.
 */
export class BacklogBudget {
  readonly #backlogs = new Set<RuleBacklog>();

  /** @param limit values */
  constructor(readonly limit: number = maxValues) {}

  /** Values that wait now. */
  #held = 0;

  get held(): number {
    return this.#held;
  }

  /** @param change by how many values the backlog has changed */
  changed(backlog: RuleBacklog, change: number): void {
    this.#held += change;
    if (backlog.isEmpty) this.#backlogs.delete(backlog);
    else this.#backlogs.add(backlog);
    while (this.#held > this.limit) {
      const longest = [...this.#backlogs].reduce((most, one) => (one.values > most.values ? one : most));
      longest.drop(Math.max(this.#held - this.limit, longest.values / 10));
    }
  }
}

/** Durable events of one run that its rules have not seen yet, in order. */
export class RuleBacklog {
  #events: RuleEvent[] = [];
  #values = 0;

  constructor(readonly budget: BacklogBudget) {}

  get values(): number {
    return this.#values;
  }
  get isEmpty(): boolean {
    return this.#events.length === 0;
  }
  get firstSeq(): number | undefined {
    return this.#events[0]?.seq;
  }

  push(events: readonly TrainerEvent[]): void {
    if (events.length === 0) return;
    const added = events.map(ruleEventOf);
    for (const event of added) this.#events.push(event);
    this.#change(added.reduce((sum, event) => sum + valuesOf(event), 0));
  }

  /** Gives all events, and is empty then. */
  takeAll(): RuleEvent[] {
    const events = this.#events;
    this.#events = [];
    this.#change(-this.#values);
    return events;
  }

  /** Forgets the oldest events, with at least so many values, or all. */
  drop(values: number): void {
    let [count, dropped] = [0, 0];
    while (dropped < values && count < this.#events.length) dropped += valuesOf(this.#events[count++]!);
    this.#events.splice(0, count);
    this.#change(-dropped);
  }

  #change(values: number): void {
    this.#values += values;
    this.budget.changed(this, values);
  }
}
