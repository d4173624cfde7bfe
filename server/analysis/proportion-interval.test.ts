import { describe, expect, it } from 'vitest';
import { pairedDifferenceInterval, wilsonInterval } from './proportion-interval.js';

describe('wilsonInterval', () => {
  it('is as published (Newcombe, Statistics in Medicine 17 (1998) 857-872, table I)', () => {
    for (const [right, asked, low, high] of [
      [81, 263, 0.2553, 0.3662],
      [15, 148, 0.0624, 0.1605],
      [0, 20, 0, 0.1611],
      [1, 29, 0.0061, 0.1718],
    ] as const) {
      const interval = wilsonInterval(right, asked);
      expect(interval.low).toBeCloseTo(low, 4);
      expect(interval.high).toBeCloseTo(high, 4);
    }
  });
  it('stays within 0 and 1 and mirrors right and wrong', () => {
    for (let right = 0; right <= 7; right++) {
      const [of, mirrored] = [wilsonInterval(right, 7), wilsonInterval(7 - right, 7)];
      expect(of.low).toBeGreaterThanOrEqual(0);
      expect(of.high).toBeLessThanOrEqual(1);
      expect(of.low).toBeCloseTo(1 - mirrored.high, 12);
    }
  });
});

describe('pairedDifferenceInterval', () => {
  const of = (bothRight: number, gained: number, lost: number, bothWrong: number) =>
    pairedDifferenceInterval({ bothRight, gained, lost, bothWrong });

  it('is what the formula gives by hand: no correlation where all that one got right the other did', () => {
    // 53 of 54 against 54 of 54; a margin is 0, so phi is 0 and the reaches join as in a right triangle.
    const [now, base] = [wilsonInterval(53, 54), wilsonInterval(54, 54)];
    const { low, high } = of(53, 0, 1, 0);
    expect(low).toBeCloseTo(-1 / 54 - Math.hypot(53 / 54 - now.low, base.high - 1), 12);
    expect(high).toBeCloseTo(-1 / 54 + Math.hypot(now.high - 53 / 54, 1 - base.low), 12);
  });
  it('is as published (Newcombe 1998, method 10)', () => {
    for (const [pairs, low, high] of [
      [[36, 12, 2, 0], 0.0569, 0.3404],
      [[20, 12, 2, 16], 0.0562, 0.3292],
      [[2, 12, 2, 34], 0.0537, 0.3421],
      [[54, 0, 0, 0], -0.0664, 0.0664],
      [[53, 0, 1, 0], -0.0977, 0.0496],
    ] as const) {
      const [bothRight, gained, lost, bothWrong] = pairs;
      const interval = of(bothRight, gained, lost, bothWrong);
      expect(interval.low, pairs.join()).toBeCloseTo(low, 4);
      expect(interval.high, pairs.join()).toBeCloseTo(high, 4);
    }
  });
  it('turns its sign with what is compared', () => {
    const [there, back] = [of(20, 12, 2, 16), of(20, 2, 12, 16)];
    expect(back.low).toBeCloseTo(-there.high, 12);
    expect(back.high).toBeCloseTo(-there.low, 12);
  });
  it('is narrower than one that takes the two for other questions, where answers go together', () => {
    const { low, high } = of(90, 6, 4, 100);
    const [now, base] = [wilsonInterval(96, 200), wilsonInterval(94, 200)];
    expect(high - low).toBeLessThan(Math.hypot(now.high - now.low, base.high - base.low) / 2);
  });
});
