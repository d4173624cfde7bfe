import type { MetricSeries } from './finding.js';

/** Least-squares slope of the finite values with `from <= step < to`, in units a step; NaN with fewer than two steps. */
export function slope(series: MetricSeries, from: number, to: number): number {
  let n = 0;
  let sx = 0;
  let sy = 0;
  let sxx = 0;
  let sxy = 0;
  for (let i = 0; i < series.steps.length; i++) {
    const x = series.steps[i]!;
    const y = series.values[i]!;
    if (x < from || x >= to || !Number.isFinite(y)) continue;
    n++;
    sx += x;
    sy += y;
    sxx += x * x;
    sxy += x * y;
  }
  const spread = n * sxx - sx * sx;
  return n < 2 || spread === 0 ? NaN : (n * sxy - sx * sy) / spread;
}
