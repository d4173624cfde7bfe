/**
 * One series as charts read it: columns of equal length, ascending by step, of which the first `length` entries count.
 * The arrays may be longer than `length` and may be replaced when the series grows: read them anew at each redraw.
 */
export interface Columns {
  readonly length: number;
  readonly steps: Float64Array;
  readonly values: Float64Array;
  /** `reach[i]`: a point more than this many steps before point i is not joined to it, as values are missing between. */
  readonly reach: Float64Array;
}

/** First index whose step is at least `step`. */
export function lowerBound(columns: Columns, step: number): number {
  let low = 0;
  let high = columns.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (columns.steps[middle]! < step) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Index of the point nearest to a step, -1 in an empty series; among points of one step the last. */
export function nearestIndex(columns: Columns, step: number): number {
  if (columns.length === 0) return -1;
  const after = lowerBound(columns, step);
  if (after === columns.length) return columns.length - 1;
  let nearest = after;
  if (after > 0 && step - columns.steps[after - 1]! < columns.steps[after]! - step) nearest = after - 1;
  while (nearest + 1 < columns.length && columns.steps[nearest + 1] === columns.steps[nearest]) nearest++;
  return nearest;
}

/**
 * The first `length` entries of each part, one part after the other, as one series.
 * @param parts ascending by step, each beginning where the one before ends or later
 */
export function joinColumns(parts: readonly { columns: Columns; length: number }[]): Columns {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const joined = {
    length,
    steps: new Float64Array(length),
    values: new Float64Array(length),
    reach: new Float64Array(length),
  };
  let at = 0;
  for (const part of parts) {
    for (const name of ['steps', 'values', 'reach'] as const)
      joined[name].set(part.columns[name].subarray(0, part.length), at);
    at += part.length;
  }
  return joined;
}

/** The largest value of several series at each step that any of them has. NaN is skipped. */
export function mostOf(all: readonly Columns[]): Columns {
  const at = new Map<number, { value: number; reach: number }>();
  for (const { length, steps, values, reach } of all)
    for (let index = 0; index < length; index++) {
      const before = at.get(steps[index]!);
      const value = before === undefined || !(before.value >= values[index]!) ? values[index]! : before.value;
      const kept = before !== undefined && Number.isNaN(value) ? before.value : value;
      at.set(steps[index]!, { value: kept, reach: Math.max(reach[index]!, before?.reach ?? 0) });
    }
  const points = [...at].sort(([a], [b]) => a - b);
  return {
    length: points.length,
    steps: Float64Array.from(points, ([step]) => step),
    values: Float64Array.from(points, ([, { value }]) => value),
    reach: Float64Array.from(points, ([, point]) => point.reach),
  };
}
