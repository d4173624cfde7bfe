import { mean } from './study-run.js';

/** Mean over seeds with Student's 95 % interval, which assumes a normal distribution; null with fewer than two seeds. */
export function seedInterval(values: readonly number[]): { estimate: number; low: number; high: number } | null {
  if (values.length < 2) return null;
  const estimate = mean(values);
  const variance = values.reduce((sum, value) => sum + (value - estimate) ** 2, 0) / (values.length - 1);
  const reach = studentT(values.length - 1) * Math.sqrt(variance / values.length);
  return { estimate, low: estimate - reach, high: estimate + reach };
}

/**
 * The 97.5 % quantile of Student's distribution (95 % of its mass is within ± of it), exact up to rounding.
 * @throws Error when the degrees of freedom are not a whole number of at least 1
 */
export function studentT(degrees: number): number {
  if (!Number.isInteger(degrees) || degrees < 1)
    throw new Error(`Degrees of freedom are a whole number from 1, not ${degrees}.`);
  let [low, high] = [0, Math.PI / 2];
  for (let halving = 0; halving < 53; halving++) {
    const angle = (low + high) / 2;
    if (massWithin(angle, degrees) < 0.95) low = angle;
    else high = angle;
  }
  return Math.sqrt(degrees) * Math.tan(low);
}

/** The mass within ± t = sqrt(degrees) tan(angle), a finite sum: Abramowitz & Stegun 1964, 26.7.3 and 26.7.4. */
function massWithin(angle: number, degrees: number): number {
  const isOdd = degrees % 2 === 1;
  const cosine = Math.cos(angle);
  let term = isOdd ? cosine : 1;
  let sum = degrees === 1 ? 0 : term;
  for (let k = isOdd ? 3 : 2; k <= degrees - 2; k += 2) {
    term *= ((k - 1) / k) * cosine ** 2;
    sum += term;
  }
  return isOdd ? (2 / Math.PI) * (angle + Math.sin(angle) * sum) : Math.sin(angle) * sum;
}
