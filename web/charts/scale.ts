import { scaleLinear, scaleLog, type ScaleContinuousNumeric } from 'd3';

export type YScale = ScaleContinuousNumeric<number, number>;

/**
 * The vertical scale of a plot: the visible extent with room above and below, rounded to ticks.
 * @param low smallest visible value, Infinity when nothing is visible
 * @param include values that are in sight whatever the data do, e.g. 0
 * @param ceiling what no value can exceed, e.g. 1 for a probability: the scale does not round beyond it
 * @param logarithmic falls back to linear where not all is above 0
 */
export function yScale(
  low: number,
  high: number,
  include: readonly number[],
  ceiling: number,
  logarithmic: boolean,
  height: number,
): YScale {
  let bottom = Math.min(low, ...include);
  let top = Math.max(high, ...include);
  if (!Number.isFinite(bottom) || !Number.isFinite(top)) [bottom, top] = [0, 1];
  if (logarithmic && low > 0 && Number.isFinite(low)) {
    const margin = high > low ? (high / low) ** 0.06 : 1.5;
    return scaleLog([low / margin, Math.min(high * margin, Math.max(high, ceiling))], [height, 0]);
  }
  if (bottom === top) {
    const room = Math.abs(bottom) * 0.1 || 1;
    [bottom, top] = include.includes(bottom) ? [bottom, bottom + room] : [bottom - room, top + room];
  }
  const room = (top - bottom) * 0.06;
  // A bound that was asked for is an edge, not a line with air beyond it.
  const domain = [include.includes(bottom) ? bottom : bottom - room, include.includes(top) ? top : top + room];
  const scale = scaleLinear(domain, [height, 0]).nice(Math.max(2, Math.floor(height / 40)));
  const [floor, rounded] = scale.domain() as [number, number];
  return top <= ceiling && rounded > ceiling ? scale.domain([floor, ceiling]) : scale;
}

/** At most as many ticks as there is room for; of a logarithmic scale the decades and, with room, 2 and 5. */
export function yTicks(scale: YScale, height: number): number[] {
  const count = Math.max(2, Math.floor(height / 40));
  const ticks = scale.ticks(count);
  if (!('base' in scale) || ticks.length <= count + 2) return ticks;
  const lead = (tick: number): number => Number(tick.toExponential().charAt(0));
  const coarse = ticks.filter((tick) => [1, 2, 5].includes(lead(tick)));
  return coarse.length <= count + 2 ? coarse : coarse.filter((tick) => lead(tick) === 1);
}
