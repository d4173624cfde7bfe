import { describe, expect, it } from 'vitest';
import { yScale, yTicks } from './scale';

describe('yScale', () => {
  it('holds all data, and what is to be in sight at the very edge', () => {
    const scale = yScale(0.4, 2.3, [0], Infinity, false, 200);
    expect(scale.domain()[0]).toBe(0);
    expect(scale.domain()[1]).toBeGreaterThanOrEqual(2.3);
    expect(yScale(12, 93, [0, 100], 100, false, 200).domain()).toEqual([0, 100]);
  });
  it('does not round beyond what no value can exceed', () => {
    expect(yScale(0.1, 0.997, [0], 1, false, 200).domain()).toEqual([0, 1]);
    expect(yScale(1e-4, 0.997, [0], 1, true, 200).domain()[1]).toBe(1);
  });
  it('has a height for a constant, for nothing at all and for zero', () => {
    for (const [low, high] of [
      [5, 5],
      [Infinity, -Infinity],
      [0, 0],
    ] as const) {
      const [bottom, top] = yScale(low, high, [], Infinity, false, 200).domain() as [number, number];
      expect(top).toBeGreaterThan(bottom);
    }
  });
  it('is logarithmic only where all values are above zero', () => {
    expect('base' in yScale(0.01, 10, [0], Infinity, true, 200)).toBe(true);
    expect('base' in yScale(0, 10, [0], Infinity, true, 200)).toBe(false);
  });
});

describe('yTicks', () => {
  it('thins the many ticks of a logarithmic scale', () => {
    const ticks = yTicks(yScale(1e-5, 10, [], Infinity, true, 200), 200);
    expect(ticks).toContain(0.001);
    expect(ticks.length).toBeLessThanOrEqual(8);
  });
});
