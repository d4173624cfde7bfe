import { fromWireNumber, measuredWords, metrics, type WireNumber } from '@plumbline/shared/metric';

/** The key series of a run, with a short word for each. */
export const keyMetrics = [
  { name: metrics.loss, word: 'loss' },
  { name: metrics.learningRate, word: 'lr' },
  { name: metrics.heldOutMean, word: 'held-out' },
  { name: metrics.kl, word: 'KL' },
  { name: metrics.numberTokensHeldOut, word: 'number tokens' },
] as const;

export const keyWord = (metric: string): string | undefined => keyMetrics.find(({ name }) => name === metric)?.word;

/** The word for a series in a line: short for a key series, else its label or its name. */
export const seriesWord = (name: string, { label }: { label?: string | undefined } = {}): string =>
  keyWord(name) ?? label ?? name;

/** A value in four digits, with its unit where that is known; `–` where there is none. */
export const valueWords = (value: WireNumber | undefined, unit?: string): string =>
  value === undefined ? '–' : measuredWords(fromWireNumber(value), unit);

/** A query string: `metric=a&metric=b`. */
export const metricQuery = (names: readonly string[]): string =>
  names.map((name) => `metric=${encodeURIComponent(name)}`).join('&');
