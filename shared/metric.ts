import { z } from 'zod';
import { boundedRecord } from './bounded-record.js';
import { nonFiniteWords, toWireNumber } from './measured-value.js';
import { wallTimeSeries } from './metric-names.js';
import { recordOf } from './record.js';
import { maxMetricNameLength, maxMetricsPerEvent } from './limits.js';
import { isPlain } from './plain-text.js';

export * from './measured-value.js';
export * from './metric-names.js';

/**
 * Any printable text: `train/loss`, `eval_loss`, `lr-AdamW/pg1`, `eval/acc top-1`. Slashes group: pages show series with the
 * same prefix together.
 */
export const MetricName = z
  .string()
  .min(1, 'a metric has a name')
  .max(maxMetricNameLength, { message: `a metric name has at most ${maxMetricNameLength} characters`, abort: true })
  .refine(
    (name) => isPlain(name) && name.trim() === name,
    'a metric name is one line of printable text, with no space at its beginning or end',
  );
export type MetricName = z.infer<typeof MetricName>;
export const WireNumber = z.union(
  [z.number(), z.literal(nonFiniteWords)],
  `a value is a number or one of the words ${nonFiniteWords.join(', ')}`,
);
export type WireNumber = z.infer<typeof WireNumber>;

/** Values by the names of their series. */
export const WireMetrics = boundedRecord(
  MetricName.refine(
    (name) => name !== wallTimeSeries,
    `${wallTimeSeries} is no metric: it comes from the events' times`,
  ),
  WireNumber,
  { entries: maxMetricsPerEvent, nameLength: maxMetricNameLength },
  'metrics an event',
);
export type WireMetrics = z.infer<typeof WireMetrics>;

export function toWireMetrics(metrics: Readonly<Record<string, number>>): WireMetrics {
  return recordOf(Object.entries(metrics).map(([name, value]) => [name, toWireNumber(value)]));
}
