import { isMeasured } from '@plumbline/shared/metric';
import { scaleLinear, scaleLog, type ScaleContinuousNumeric } from 'd3';

/** An axis treats smaller sizes as 0: ticks between subnormal numbers cannot be computed. */
const smallestTold = 1e-290;
/** An axis treats values with a smaller relative difference as one: the ticks between would be the same number. */
const finestTold = 1e-12;

export type YScale = ScaleContinuousNumeric<number, number>;

/**
 * The vertical scale of a plot: the visible extent with room above and below, rounded to ticks.
 * @param low smallest visible value, Infinity when nothing is visible
 * @param include values that the scale always includes, e.g. 0
 * @param ceiling the largest possible value, e.g. 1 for a probability: the scale does not round beyond it
 * @param logarithmic falls back to linear unless all values are above 0
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
  if (!isMeasured(bottom) || !isMeasured(top)) [bottom, top] = [0, 1];
  if (logarithmic && low >= smallestTold && isMeasured(low) && isMeasured(high)) {
    const decades = Math.log10(high) - Math.log10(low);
    const margin = decades > finestTold ? 10 ** (0.06 * decades) : 1.5;
    return scaleLog([low / margin, Math.min(high * margin, Math.max(high, ceiling))], [height, 0]);
  }
  const size = Math.max(Math.abs(bottom), Math.abs(top));
  if (top - bottom <= Math.max(size * finestTold, smallestTold)) {
    const room = size < smallestTold ? 1 : size * 0.1;
    const isEdge = include.includes(bottom) || include.includes(top);
    [bottom, top] = isEdge ? [bottom, top + room] : [bottom - room, top + room];
  }
  const room = (top - bottom) * 0.06;
  // An included value is the edge of the plot, without room beyond it.
  const domain = [include.includes(bottom) ? bottom : bottom - room, include.includes(top) ? top : top + room];
  const scale = scaleLinear(domain, [height, 0]).nice(Math.max(2, Math.floor(height / 40)));
  const [floor, rounded] = scale.domain() as [number, number];
  return top <= ceiling && rounded > ceiling ? scale.domain([floor, ceiling]) : scale;
}

/** The ticks that there is room for; on a logarithmic scale the decades and, with room, their multiples by 2 and 5. */
export function yTicks(scale: YScale, height: number): number[] {
  const count = Math.max(2, Math.floor(height / 40));
  const ticks = scale.ticks(count);
  if (!('base' in scale) || ticks.length <= count + 2) return ticks;
  const lead = (tick: number): number => Number(tick.toExponential().charAt(0));
  const coarse = ticks.filter((tick) => [1, 2, 5].includes(lead(tick)));
  return coarse.length <= count + 2 ? coarse : coarse.filter((tick) => lead(tick) === 1);
}
