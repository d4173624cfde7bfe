import { expect, it } from 'vitest';
import type { ChartSeries } from './chart-types';
import { latestReading, readingAt } from './reading';

const columns = (steps: number[], values: number[]): ChartSeries['columns'] => ({
  length: steps.length,
  steps: Float64Array.from(steps),
  values: Float64Array.from(values),
  reach: new Float64Array(steps.length).fill(Infinity),
});
const branch: ChartSeries = {
  id: 'x',
  label: 'x',
  color: 'ink',
  columns: columns([100, 125], [5, 6]),
  past: columns([50, 75, 100], [1, 2, 3]),
};

it('reads the nearest value, before the branch point from the past, with its step', () => {
  expect(readingAt(branch, 130)).toEqual({ step: 125, value: 6 });
  expect(readingAt(branch, 80)).toEqual({ step: 75, value: 2 });
  expect(readingAt(branch, 100)).toEqual({ step: 100, value: 5 });
  expect(readingAt({ ...branch, transform: (value) => 10 * value }, 60)).toEqual({ step: 50, value: 10 });
  expect(readingAt({ ...branch, columns: columns([], []), past: undefined }, 60)).toBeNull();
});
it('reads nothing long after the line ended or long before it began', () => {
  expect(readingAt(branch, 150)?.step).toBe(125);
  expect(readingAt(branch, 151)).toBeNull();
  expect(readingAt({ ...branch, past: undefined }, 60)).toBeNull();
});
it('has the newest value of the run, or the base value of a line with no other value', () => {
  expect(latestReading(branch, false)).toBe(6);
  const unmeasured = { ...branch, columns: columns([], []), base: 97 };
  expect(latestReading(unmeasured, false)).toBe(97);
  expect(latestReading(unmeasured, true)).toBeUndefined();
});
