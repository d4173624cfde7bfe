import { isMeasured } from '@plumbline/shared/metric';
import type { MetricSeries } from './finding.js';

/** Least-squares slope of the measured values with `from <= step < to`, in units per step; NaN with fewer than two steps. */
export function slope(series: MetricSeries, from: number, to: number): number {
  let n = 0;
  let sx = 0;
  let sy = 0;
  let sxx = 0;
  let sxy = 0;
  const first = firstFrom(series.steps, from);
  for (let i = first; i < series.steps.length && series.steps[i]! < to; i++) {
    // Relative to the first step: squares of large steps would lose the digits of the differences.
    const x = series.steps[i]! - series.steps[first]!;
    const y = series.values[i]!;
    if (!isMeasured(y)) continue;
    n++;
    sx += x;
    sy += y;
    sxx += x * x;
    sxy += x * y;
  }
  const spread = n * sxx - sx * sx;
  return n < 2 || spread === 0 ? NaN : (n * sxy - sx * sy) / spread;
}

/** Index of the first step >= `from` in ascending steps. */
function firstFrom(steps: ArrayLike<number>, from: number): number {
  let [low, high] = [0, steps.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle]! < from) low = middle + 1;
    else high = middle;
  }
  return low;
}
