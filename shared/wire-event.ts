import { z } from 'zod';
import { eventBase } from './event-base.js';
import type { LargeEvent } from './large-event.js';
import { maxMetricsPerEvent, maxStep, maxWallTimeMs, minWallTimeMs } from './limits.js';
import type { WireNumber } from './metric.js';
import type { ControlEvent } from './trainer-event.js';

/** When something happened, as a trainer says it. */
export const WallTimeMs = z
  .number('a wall time is a number of milliseconds')
  .min(minWallTimeMs, 'a wall time is in epoch milliseconds, from the year 2000 on: is this in seconds?')
  .max(maxWallTimeMs, 'a wall time is in epoch milliseconds: this looks like nanoseconds');

/** A list whose entries are looked at one by one later: of many values, one that is wrong costs no other. */
const column = <T>(what: string) =>
  z
    .custom<T[]>((value) => Array.isArray(value), `${what} are a list`)
    .refine(({ length }) => length <= maxMetricsPerEvent, `at most ${maxMetricsPerEvent} ${what} an event`);

/** Values of an optimizer step or a probe on their way to the hub: `values[i]` belongs to the series with number `series[i]`. */
export const WireMetricEvent = z
  .object({
    ...eventBase,
    wallTimeMs: WallTimeMs,
    type: z.enum(['step_completed', 'probe_completed']),
    stage: z.number().int().nonnegative().max(maxStep),
    series: column<number>('series'),
    values: column<WireNumber>('values'),
  })
  .refine(({ series, values }) => series.length === values.length, {
    error: 'series and values have the same length',
    path: ['values'],
  });
export type WireMetricEvent = z.infer<typeof WireMetricEvent>;

/** An event as a trainer sends it: as it is stored, but for its values, which go by number. */
export type WireEvent = ControlEvent | LargeEvent | WireMetricEvent;
export const isWireMetricEvent = (event: Pick<WireEvent, 'type'>): event is WireMetricEvent =>
  event.type === 'step_completed' || event.type === 'probe_completed';
/** One batch: events in order, without a gap. The acknowledgement is the window. */
export interface EventBatch {
  events: WireEvent[];
}

/** What the hub has left out of an event that it took. */
export interface EventProblem {
  seq: number;
  /** The series by name, or by number where it has none; null where it is not of one series. */
  series: string | number | null;
  /** What is wrong and what to do. */
  problem: string;
}
