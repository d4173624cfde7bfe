import { fourDigits, fromWireNumber, metrics, type WireNumber } from '@plumbline/shared/metric';

/** The series that a run is known by in a line, with the short word for each. */
export const keyMetrics = [
  { name: metrics.loss, word: 'loss' },
  { name: metrics.learningRate, word: 'lr' },
  { name: metrics.heldOutMean, word: 'held-out' },
  { name: metrics.kl, word: 'KL' },
  { name: metrics.numberTokensHeldOut, word: 'number tokens' },
] as const;

export const keyWord = (metric: string): string => keyMetrics.find(({ name }) => name === metric)?.word ?? metric;

/** A value in four digits, with the percent sign where it is an accuracy; `–` where there is none. */
export function valueWords(metric: string, value: WireNumber | undefined): string {
  if (value === undefined) return '–';
  return `${fourDigits(fromWireNumber(value))}${metric.endsWith('/accuracy') ? ' %' : ''}`;
}

/** For a query: `metric=a&metric=b`. */
export const metricQuery = (names: readonly string[]): string =>
  names.map((name) => `metric=${encodeURIComponent(name)}`).join('&');
