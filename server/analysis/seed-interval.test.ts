import { describe, expect, it } from 'vitest';
import { seedInterval, studentT } from './seed-interval.js';

describe('studentT', () => {
  // Abramowitz & Stegun 1964, table 26.10, for 1 to 30 degrees of freedom and some above.
  const published = [
    ...[12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.16, 2.145, 2.131],
    ...[2.12, 2.11, 2.101, 2.093, 2.086, 2.08, 2.074, 2.069, 2.064, 2.06, 2.056, 2.052, 2.048, 2.045, 2.042],
  ];
  it.each<[number, number]>([
    ...published.map((value, index): [number, number] => [index + 1, value]),
    [40, 2.021],
    [60, 2],
    [120, 1.98],
  ])('with %i degrees of freedom is %f, as published', (degrees, value) =>
    expect(studentT(degrees)).toBeCloseTo(value, 3),
  );
  it('comes to the 1.95996 of the normal distribution, even or odd', () => {
    expect(studentT(100_000)).toBeCloseTo(1.96, 4);
    expect(studentT(100_001)).toBeCloseTo(1.96, 4);
  });
  it('refuses what is no number of degrees', () => {
    expect(() => studentT(0)).toThrow(/whole number from 1/);
    expect(() => studentT(2.5)).toThrow(/whole number from 1/);
  });
});

describe('seedInterval', () => {
  const reach = (values: readonly number[]): number => {
    const { estimate, low, high } = seedInterval(values)!;
    expect(estimate - low).toBeCloseTo(high - estimate, 10);
    return high - estimate;
  };
  it("is Student's: 1, 2, 3 give 2 ± 4.303 / sqrt(3)", () => {
    expect(seedInterval([1, 2, 3])!.estimate).toBe(2);
    expect(reach([1, 2, 3])).toBeCloseTo(4.303 / Math.sqrt(3), 3);
  });
  it('is so with many seeds too: 1..11 give 6 ± 2.228 sqrt(11 / 11)', () =>
    expect(reach(Array.from({ length: 11 }, (_, index) => index + 1))).toBeCloseTo(2.228, 3));
  it('is null for one seed', () => expect(seedInterval([1])).toBeNull());
});
