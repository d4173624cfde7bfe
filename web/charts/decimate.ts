import { isMeasured } from '@plumbline/shared/metric';
import { lowerBound, type Columns } from './columns';

/** A line ready to draw: `x` in pixels from the plot's left edge, `value` still in the series' own unit. */
export interface DecimatedLine {
  x: number[];
  value: number[];
  /** True where a new line begins: at the first point, after a gap, after a value off the scale. */
  starts: boolean[];
  /** Values that have no height (see `isMeasured`). They are marked at the plot's edge. */
  offScale: { x: number; value: number }[];
  /** Extent of the drawn values inside the window; Infinity and -Infinity if there are none. */
  low: number;
  high: number;
}

/** Whether a series has a value without a height: `decimate` lists these as `offScale`. */
export function hasOffScale({ length, values }: Columns): boolean {
  for (let index = 0; index < length; index++) if (!isMeasured(values[index]!)) return true;
  return false;
}

/**
 * Thins a series to the pixels that can show it, without a visible loss: of each pixel column it keeps
 * the first, smallest, largest and last point (the method of uPlot's linear paths), so no spike disappears; gaps stay
 * gaps, and a column with a NaN, an infinity or an overflow has one mark.
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
  transform?: (value: number) => number,
): DecimatedLine {
  const line: DecimatedLine = { x: [], value: [], starts: [], offScale: [], low: Infinity, high: -Infinity };
  const { steps, values } = columns;
  // Keeps one point beyond each edge, so that a line leaves the window instead of ending inside it.
  const begin = Math.max(0, lowerBound(columns, from) - 1);
  const end = Math.min(columns.length, lowerBound(columns, to + Number.EPSILON * Math.abs(to)) + 1);
  const scale = width / (to - from);
  const valueAt = (index: number): number => (transform ? transform(values[index]!) : values[index]!);

  let startsNext = true;
  const keep = (index: number): void => {
    line.x.push((steps[index]! - from) * scale);
    line.value.push(valueAt(index));
    line.starts.push(startsNext);
    startsNext = false;
  };

  let index = begin;
  while (index < end) {
    const column = Math.floor((steps[index]! - from) * scale);
    const columnEnd = Math.min(end, Math.max(index + 1, lowerBound(columns, from + (column + 1) / scale)));
    while (index < columnEnd) {
      const value = valueAt(index);
      const step = steps[index]!;
      const inside = step >= from && step <= to;
      if (!isMeasured(value)) {
        const previous = line.offScale.at(-1);
        const isSaid =
          previous && Math.floor(previous.x) === column && Object.is(Math.sign(previous.value), Math.sign(value));
        if (inside && !isSaid) line.offScale.push({ x: (step - from) * scale, value });
        startsNext = true;
        index++;
        continue;
      }
      if (index > begin && step - steps[index - 1]! > columns.reach[index]!) startsNext = true;
      const run = scanRun(columns, index, columnEnd, transform);
      const [early, late] = run.lowest < run.highest ? [run.lowest, run.highest] : [run.highest, run.lowest];
      for (const kept of new Set([index, early, late, run.end - 1])) keep(kept);
      if (inside) {
        line.low = Math.min(line.low, valueAt(run.lowest));
        line.high = Math.max(line.high, valueAt(run.highest));
      }
      index = run.end;
    }
  }
  return line;
}

/** Finds the lowest and highest point from `start`, whose value is drawn, to the next gap, value off the scale or `end`. */
function scanRun(
  { steps, values, reach }: Columns,
  start: number,
  end: number,
  transform: ((value: number) => number) | undefined,
): { end: number; lowest: number; highest: number } {
  // Locals only: this loop reads every visible point at every redraw.
  let lowest = start;
  let highest = start;
  let low = transform ? transform(values[start]!) : values[start]!;
  let high = low;
  let index = start + 1;
  for (; index < end; index++) {
    const value = transform ? transform(values[index]!) : values[index]!;
    if (steps[index]! - steps[index - 1]! > reach[index]! || !isMeasured(value)) break;
    if (value < low) {
      low = value;
      lowest = index;
    } else if (value > high) {
      high = value;
      highest = index;
    }
  }
  return { end: index, lowest, highest };
}
