import { isMeasured } from './metric.js';

/**
 * The share of a drift that has come back, in percent (this project's definition, beside the measures of arXiv 2510.08564).
 *
 * recovered = (now - worst) / (base - worst): 0 at the worst value so far, 100 back at the base model's.
 *
 * @param values the series so far, in order; values that were not measured (`isMeasured`) are passed over
 * @param base the base model's value of the same measure
 * @param worse `lower` where less is worse (accuracy), `higher` where more is worse (bias, KL)
 * @param noiseFloor |base - worst| below this is noise, not drift
 * @returns null while nothing has drifted past the noise floor, or no value was measured
 */
export function recovery(
  values: ArrayLike<number>,
  base: number,
  worse: 'lower' | 'higher',
  noiseFloor: number,
): { percent: number; worst: number; worstIndex: number; now: number } | null {
  const sign = worse === 'lower' ? 1 : -1;
  let worst = NaN;
  let worstIndex = -1;
  let now = NaN;
  for (let index = 0; index < values.length; index++) {
    const value = values[index]!;
    if (!isMeasured(value)) continue;
    now = value;
    if (worstIndex < 0 || sign * value < sign * worst) {
      worst = value;
      worstIndex = index;
    }
  }
  // Only a value worse than the base is drift: an improved task has nothing to recover.
  if (worstIndex < 0 || sign * (base - worst) <= noiseFloor) return null;
  return { percent: ((now - worst) / (base - worst)) * 100, worst, worstIndex, now };
}

/**
 * Noise floor of an accuracy in percent points: two binomial standard errors of `questions` questions at `accuracy`.
 * At 0 and 100 percent the binomial error is 0, which no finite sample justifies, so one question is the least.
 */
export function accuracyNoiseFloor(accuracy: number, questions: number): number {
  const share = Math.min(1, Math.max(0, accuracy / 100));
  return Math.max(100 / questions, 200 * Math.sqrt((share * (1 - share)) / questions));
}
