import { lowerBound, type Columns } from './columns';

/** A line ready to draw: `x` in pixels from the plot's left edge, `value` still in the series' own unit. */
export interface DecimatedLine {
  x: number[];
  value: number[];
  /** True where the line starts anew: the first point, after a gap, after a value that is not finite. */
  starts: boolean[];
  /** Values that cannot be drawn as height; they are marked at the plot's edge. */
  nonFinite: { x: number; value: number }[];
  /** Extent of the finite values inside the window; Infinity and -Infinity when there is none. */
  low: number;
  high: number;
}

/**
 * Thins a series to the pixels that can show it, without losing what a person could see: of each pixel column it keeps
 * the first, smallest, largest and last point (the method of uPlot's linear paths), so no spike disappears; gaps stay
 * gaps and every column with a NaN or an infinity says so once.
 *
 * @param from first step of the window (left edge)
 * @param to last step of the window (right edge), above `from`
 * @param width plot width in pixels
 * @param transform applied to each value first, e.g. milliseconds a step to steps a second
 */
export function decimate(
  columns: Columns,
  from: number,
  to: number,
  width: number,
  transform: (value: number) => number = (value) => value,
): DecimatedLine {
  const line: DecimatedLine = { x: [], value: [], starts: [], nonFinite: [], low: Infinity, high: -Infinity };
  const { steps, values, reach } = columns;
  // One point beyond each edge, so that a line leaves the window instead of ending inside it.
  const begin = Math.max(0, lowerBound(columns, from) - 1);
  const end = Math.min(columns.length, lowerBound(columns, to + Number.EPSILON * Math.abs(to)) + 1);
  const scale = width / (to - from);

  let column = NaN;
  let first = -1; // indices of the points kept of the current column; -1 when it is empty
  let lowest = -1;
  let highest = -1;
  let last = -1;
  let lowestValue = 0;
  let highestValue = 0;
  let startsNext = true;

  const keep = (index: number): void => {
    line.x.push((steps[index]! - from) * scale);
    line.value.push(transform(values[index]!));
    line.starts.push(startsNext);
    startsNext = false;
  };
  const flush = (): void => {
    if (first < 0) return;
    const [early, late] = lowest < highest ? [lowest, highest] : [highest, lowest];
    keep(first);
    if (early !== first) keep(early);
    if (late !== early && late !== first) keep(late);
    if (last !== late && last !== early && last !== first) keep(last);
    first = -1;
  };

  for (let index = begin; index < end; index++) {
    const step = steps[index]!;
    const value = transform(values[index]!);
    const here = Math.floor((step - from) * scale);
    if (here !== column) {
      flush();
      column = here;
    }
    if (index > begin && step - steps[index - 1]! > reach[index]!) {
      flush();
      startsNext = true;
    }
    if (!Number.isFinite(value)) {
      flush();
      startsNext = true;
      const x = (step - from) * scale;
      const previous = line.nonFinite.at(-1);
      if (
        step >= from &&
        step <= to &&
        (!previous || Math.floor(previous.x) !== here || !Object.is(previous.value, value))
      )
        line.nonFinite.push({ x, value });
      continue;
    }
    if (step >= from && step <= to) {
      if (value < line.low) line.low = value;
      if (value > line.high) line.high = value;
    }
    if (first < 0) {
      first = lowest = highest = index;
      lowestValue = highestValue = value;
    } else if (value < lowestValue) {
      lowest = index;
      lowestValue = value;
    } else if (value > highestValue) {
      highest = index;
      highestValue = value;
    }
    last = index;
  }
  flush();
  return line;
}
