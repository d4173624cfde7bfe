import { expect, it } from 'vitest';
import { SeriesBuffer } from '../../lib/series-buffer';
import { stepsPerSecond } from './pace';

function series(durationsMs: number[]): SeriesBuffer {
  const buffer = new SeriesBuffer();
  let wallTimeMs = 1_000_000;
  durationsMs.forEach((duration, index) => buffer.append(index + 1, index + 1, (wallTimeMs += duration)));
  return buffer;
}

it('counts steps a second over the last steps', () => {
  expect(stepsPerSecond(series([0, 200, 200, 200]))).toBeCloseTo(5);
  expect(
    stepsPerSecond(series([...new Array<number>(500).fill(1000), ...new Array<number>(60).fill(100)])),
  ).toBeCloseTo(10);
});
it('counts the time of probes but not a pause', () => {
  expect(stepsPerSecond(series([0, 100, 100, 600, 100, 100]))).toBeCloseTo(5);
  expect(stepsPerSecond(series([0, 100, 100, 90_000, 100, 100]))).toBeCloseTo(10);
});
it('has no value before the third step', () => {
  expect(stepsPerSecond(series([]))).toBeNull();
  expect(stepsPerSecond(series([0, 100]))).toBeNull();
});
