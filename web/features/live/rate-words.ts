import { formatLearningRate } from '../../charts/format';

/** The current learning rates of a run, each once: `now 1e-4`, `now 1e-4, 2e-5`. */
export function rateWords(rates: readonly number[]): string {
  const words = new Set(rates.map((rate) => formatLearningRate(rate)));
  return words.size === 0 ? '–' : `now ${[...words].join(', ')}`;
}
