import { formatLearningRate } from '../../charts/format';

/** The current learning rate of a series, with the label of the series if its trainer declared one. */
export interface CurrentRate {
  name: string;
  label?: string | undefined;
  rate: number;
}

/** The current learning rates of a run, or their range: `now 1e-4`, `1e-5 to 1e-3`. */
export function rateWords(rates: readonly Pick<CurrentRate, 'rate'>[]): string {
  const odd = rates.find(({ rate }) => !Number.isFinite(rate));
  if (odd) return `now ${odd.rate}`;
  const sorted = rates.map(({ rate }) => rate).sort((a, b) => a - b);
  const [low, high] = [sorted[0], sorted.at(-1)];
  if (low === undefined || high === undefined) return '–';
  const words = [...new Set([low, high].map((rate) => formatLearningRate(rate)))];
  return words.length > 1 ? words.join(' to ') : `now ${words.join('')}`;
}

/** More rates than this do not fit in a tile. */
const mostNamed = 3;
/** Which rate is whose, in the given order, where they differ: `vision 1e-4, language 1e-5`; otherwise empty. */
export function eachRateWords(rates: readonly CurrentRate[]): string {
  if (new Set(rates.map(({ rate }) => formatLearningRate(rate))).size < 2) return '';
  const shared = sharedLength(rates.map(({ name }) => name));
  const named = rates
    .slice(0, mostNamed)
    .map(({ name, label, rate }) => `${label ?? name.slice(shared)} ${formatLearningRate(rate)}`);
  return named.join(', ') + (rates.length > mostNamed ? ` and ${rates.length - mostNamed} more` : '');
}

/** The length of what all names begin with, up to a separator: `lr-AdamW/` of `lr-AdamW/pg1` and `lr-AdamW/pg2`. */
function sharedLength([first = '', ...others]: readonly string[]): number {
  const parts = first.split(/(?<=[-_/.])/);
  let length = 0;
  for (const part of parts.slice(0, -1)) {
    if (!others.every((name) => name.startsWith(part, length) && name.length > length + part.length)) break;
    length += part.length;
  }
  return length;
}
