import type { ChartSeries } from './chart-types';
import { nearestIndex, type Columns } from './columns';

/** A value of a line and its step. */
export interface Reading {
  step: number;
  value: number;
}

/**
 * The value nearest to a step, from the run itself or from its past; null before the line begins and after it ends.
 */
export function readingAt({ columns, past, transform }: ChartSeries, step: number): Reading | null {
  let nearest: Reading | null = null;
  for (const each of past ? [columns, past] : [columns]) {
    const index = nearestIndex(each, step);
    if (index < 0) continue;
    const measured = each.steps[index]!;
    const distance = Math.abs(measured - step);
    if (distance > reachOf(each, index, step) || (nearest && distance >= Math.abs(nearest.step - step))) continue;
    const raw = each.values[index]!;
    nearest = { step: measured, value: transform ? transform(raw) : raw };
  }
  return nearest;
}

/** How far beyond its ends a series is read: the distance at which its next value could lie. */
function reachOf({ length, steps, reach }: Columns, index: number, step: number): number {
  const isWithin = step >= steps[0]! && step <= steps[length - 1]!;
  if (isWithin || length === 1) return Infinity;
  const [before, after] = index === 0 ? [0, 1] : [index - 1, index];
  const usual = reach[after]!;
  return Math.max(steps[after]! - steps[before]!, Number.isFinite(usual) ? usual : 0);
}

/**
 * The newest value of a line; its base value if it has no other.
 * @param isLoading whether its values are still being fetched: then the base value is not the newest
 */
export function latestReading({ columns, transform, base }: ChartSeries, isLoading: boolean): number | undefined {
  const value = columns.length > 0 ? columns.values[columns.length - 1] : undefined;
  if (value === undefined) return columns.length === 0 && !isLoading ? base : undefined;
  return transform ? transform(value) : value;
}
