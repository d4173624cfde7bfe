import { isMeasured } from '@plumbline/shared/metric';
import { describe, expect, it } from 'vitest';
import { formatTicks } from './format';
import { yScale, yTicks } from './scale';

describe('yScale', () => {
  it('holds all data, and the included values at the very edge', () => {
    const scale = yScale(0.4, 2.3, [0], Infinity, false, 200);
    expect(scale.domain()[0]).toBe(0);
    expect(scale.domain()[1]).toBeGreaterThanOrEqual(2.3);
    expect(yScale(12, 93, [0, 100], 100, false, 200).domain()).toEqual([0, 100]);
  });
  it('does not round beyond the ceiling', () => {
    expect(yScale(0.1, 0.997, [0], 1, false, 200).domain()).toEqual([0, 1]);
    expect(yScale(1e-4, 0.997, [0], 1, true, 200).domain()[1]).toBe(1);
  });
  it('has a height for a constant, for no data and for zero', () => {
    for (const [low, high] of [
      [5, 5],
      [Infinity, -Infinity],
      [0, 0],
    ] as const) {
      const [bottom, top] = yScale(low, high, [], Infinity, false, 200).domain() as [number, number];
      expect(top).toBeGreaterThan(bottom);
    }
  });
  const extremes = [0, 5e-324, 1e-310, 1e-300, 1e-38, 0.5, 2.5, 1e15, 1e16, 3.4e37, 1e38];
  const numbers = [...extremes, ...extremes.map((value) => -value)];
  const extents = numbers.flatMap((low) =>
    [...numbers, ...numbers.map((value) => value + 0.25), ...numbers.map((value) => value * (1 + 1e-15))]
      .filter((high) => high >= low && isMeasured(high))
      .map((high) => [low, high] as const),
  );
  it.each([
    ['linear', false, []],
    ['linear from 0', false, [0]],
    ['logarithmic', true, []],
  ] as const)(
    'has an axis with ticks that are told apart, and every value on it, whatever the values: %s',
    (...given) => {
      const [, logarithmic, include] = given;
      const faults = extents.flatMap(([low, high]) => {
        const scale = yScale(low, high, include, Infinity, logarithmic, 200);
        const ticks = yTicks(scale, 200);
        const labels = formatTicks(ticks, '');
        const isOn = (value: number): boolean => scale(value) >= -0.01 && scale(value) <= 200.01;
        const wrong = [
          ...([low, high, ...ticks].every(isOn) ? [] : ['a value off the plot']),
          ...(ticks.length >= 2 && ticks.length <= 12 ? [] : ['too many ticks or too few']),
          ...(new Set(labels).size === labels.length ? [] : ['two labels that are the same']),
          ...(labels.every((label) => label.length <= 9) ? [] : ['a long label']),
        ];
        return wrong.length > 0 ? [`${low} to ${high}: ${wrong.join(', ')} (${labels.join(' ')})`] : [];
      });
      expect(faults).toEqual([]);
    },
  );
  it('is logarithmic only if all values are above zero', () => {
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
