import { z } from 'zod';
import { eventBase } from './event-base.js';
import type { LargeEvent } from './large-event.js';
import { maxMetricsPerEvent, maxStep, maxWallTimeMs, minWallTimeMs } from './limits.js';
import type { WireNumber } from './metric.js';
import type { ControlEvent } from './trainer-event.js';

/** The trainer's wall time of an event. */
export const WallTimeMs = z
  .number('a wall time is a number of milliseconds')
  .min(minWallTimeMs, 'a wall time is in epoch milliseconds, from the year 2000 on: is this in seconds?')
  .max(maxWallTimeMs, 'a wall time is in epoch milliseconds: this looks like nanoseconds');

/** A list whose entries the hub checks later, one by one, so that one wrong value costs no other. */
const column = <T>(what: string) =>
  z
    .custom<T[]>((value) => Array.isArray(value), `${what} are a list`)
    .refine(({ length }) => length <= maxMetricsPerEvent, `at most ${maxMetricsPerEvent} ${what} an event`);

/** The values of an optimizer step or a probe on the wire: `values[i]` belongs to the series with number `series[i]`. */
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

/** An event on the wire. It differs from a stored event only in naming series by number. */
export type WireEvent = ControlEvent | LargeEvent | WireMetricEvent;
export const isWireMetricEvent = (event: Pick<WireEvent, 'type'>): event is WireMetricEvent =>
  event.type === 'step_completed' || event.type === 'probe_completed';
/** One batch: events in order, without a gap. The acknowledgement is the window. */
export interface EventBatch {
  events: WireEvent[];
}

/** An omission from an accepted event. */
export interface EventProblem {
  seq: number;
  /** The name of the series, or its number if it has no name; null if the problem is not of one series. */
  series: string | number | null;
  /** The fault and its remedy. */
  problem: string;
}
