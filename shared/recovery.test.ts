import { describe, expect, it } from 'vitest';
import { accuracyNoiseFloor, recovery } from './recovery.js';

describe('recovery', () => {
  it('is the part of the drop that came back: 90 -> 50 -> 80 is 75 percent', () => {
    expect(recovery([90, 50, 60, 80], 90, 'lower', 2)).toEqual({ percent: 75, worst: 50, worstIndex: 1, now: 80 });
  });
  it('reads the other way for measures where more is worse: 0 -> 0.4 -> 0.1 is 75 percent', () => {
    expect(recovery([0, 0.4, 0.1], 0, 'higher', 0.01)!.percent).toBeCloseTo(75, 10);
  });
  it('is no recovery from a value that stands for an overflow', () => {
    for (const overflow of [Infinity, 1.7976931348623157e308, 3.4028234663852886e38])
      expect(recovery([0, 0.4, overflow, 0.2], 0, 'higher', 0.01)).toMatchObject({ percent: 50, worst: 0.4 });
  });
  it('is 0 at the worst value and above 100 past the base', () => {
    expect(recovery([90, 40], 90, 'lower', 2)!.percent).toBe(0);
    expect(recovery([90, 40, 95], 90, 'lower', 2)!.percent).toBeCloseTo(110, 10);
  });
  it('is undefined below the noise floor, for a gain, and without finite values', () => {
    expect(recovery([90, 89], 90, 'lower', 2)).toBeNull();
    expect(recovery([90, 99], 90, 'lower', 2)).toBeNull();
    expect(recovery([NaN, Infinity], 90, 'lower', 2)).toBeNull();
    expect(recovery([], 90, 'lower', 2)).toBeNull();
  });
  it('passes over a NaN in between', () => {
    expect(recovery([90, NaN, 50, NaN], 90, 'lower', 2)).toMatchObject({ worst: 50, worstIndex: 2, now: 50 });
  });
});

describe('accuracyNoiseFloor', () => {
  it('is two standard errors: 50 percent of 100 questions is 10 points', () => {
    expect(accuracyNoiseFloor(50, 100)).toBeCloseTo(10, 10);
  });
  it('is at least one question', () => expect(accuracyNoiseFloor(100, 50)).toBe(2));
});
