import { z } from 'zod';
import { maxLabelLength, maxSeries, maxUnitLength } from './limits.js';
import { MetricName, wallTimeSeries, type WireNumber } from './metric.js';
import { isPlain } from './plain-text.js';

const line = (length: number) =>
  z.string().min(1).max(length, `at most ${length} characters`).refine(isPlain, 'one line of printable text');

/** What a trainer says of a series once, before its first value. */
export const SeriesDeclaration = z.object({
  /** Stands for the name in the trainer's events. It keeps the name for good; a name may have several numbers. */
  number: z
    .number()
    .int()
    .nonnegative()
    .max(maxSeries - 1, `the number of a series is below ${maxSeries}`),
  name: MetricName.refine(
    (name) => name !== wallTimeSeries,
    `${wallTimeSeries} is no metric: it comes from the events' times`,
  ),
  /** For people, e.g. `Held-out accuracy`; the name where there is none. */
  label: line(maxLabelLength).optional(),
  /** What stands behind a value: `nats`, `ms`, `tokens/s`. Differences of `%` are told in percentage points. */
  unit: line(maxUnitLength).optional(),
  /** Which direction is better, where one is. */
  better: z.enum(['lower', 'higher'], 'better is lower or higher').optional(),
  /** A difference from the base model that is not more than this is noise. */
  noiseFloor: z.number().nonnegative('a noise floor is 0 or more').optional(),
});
export type SeriesDeclaration = z.infer<typeof SeriesDeclaration>;

/** What is known of a series, whoever said it. */
export type SeriesFacts = Omit<SeriesDeclaration, 'number'>;

/** GET /api/runs/:runId/series -> what is known of each series that was declared, or has a value. */
export interface SeriesResponse {
  runId: string;
  /** Complete up to this event. */
  lastSeq: number;
  series: (SeriesFacts & { last: { step: number; value: WireNumber } | null })[];
}
