import { describe, expect, it } from 'vitest';
import {
  formatDelta,
  formatDuration,
  formatLearningRate,
  formatTicks,
  formatValue,
  formatWhen,
  shortName,
  units,
} from './format';

describe('the largest numbers', () => {
  it.each(units)('are short in any unit, and not shown as infinity: %s', (unit) => {
    for (const value of [
      1.7976931348623157e308, -1.7976931348623157e308, 3.4028234663852886e38, 1e21, 123_456_789_012_345,
    ])
      for (const words of [formatValue(value, unit), formatDelta(value, unit)]) {
        expect(words).toMatch(/^\+?−?\d(\.\d+)?e\d+( \S+)?$/);
        expect(words.length).toBeLessThanOrEqual(14);
      }
  });
});

describe('formatValue', () => {
  it('writes each unit as people read it', () => {
    expect(formatValue(48.23, 'percent')).toBe('48.2 %');
    expect(formatValue(0.0124, 'ratio')).toBe('1.24 %');
    expect(formatValue(0.1513, 'probability')).toBe('0.151');
    expect(formatValue(142.6, 'milliseconds')).toBe('143 ms');
    expect(formatValue(0.42, 'nats')).toBe('0.420 nats');
    expect(formatValue(0.00012, '')).toBe('1.2e-4');
    expect(formatValue(-12.5, '')).toBe('−12.50');
  });
  it('writes NaN and infinities as such, and a missing value as a dash', () => {
    expect(formatValue(NaN, 'percent')).toBe('NaN');
    expect(formatValue(-Infinity, '')).toBe('−∞');
    expect(formatValue(undefined, 'nats')).toBe('–');
  });
});

describe('formatDelta', () => {
  it('has a sign, and percentage points for percent', () => {
    expect(formatDelta(3.14, 'percent')).toBe('+3.1 pp');
    expect(formatDelta(-35, 'percent')).toBe('−35.0 pp');
    expect(formatDelta(0.151, 'probability')).toBe('+0.151');
  });
});

it('reads a divergence within float32 rounding as 0', () => {
  expect(formatValue(1.21e-17, 'nats')).toBe('0 nats');
  expect(formatValue(-3e-8, 'nats')).toBe('0 nats');
  expect(formatValue(2e-7, 'nats')).toBe('2e-7 nats');
  expect(formatValue(1.21e-17, 'probability')).toBe('1.21e-17');
});

describe('formatTicks', () => {
  it('writes small ticks all in one form', () => {
    expect(formatTicks([0, 4e-4, 8e-4, 1.2e-3], '')).toEqual(['0', '4e-4', '8e-4', '1.2e-3']);
    expect(formatTicks([0.002, 0.004], '')).toEqual(['0.002', '0.004']);
  });
  it('is short and exact', () => {
    expect(formatTicks([0, 0.25, 5e-4, 100, 20_000, 0.30000000000000004], '')).toEqual([
      '0',
      '0.25',
      '5e-4',
      '100',
      '20k',
      '0.3',
    ]);
    expect(formatTicks([0.02], 'ratio')).toEqual(['2']);
  });
});

it('shortens a long name in its middle', () => {
  expect(shortName('Counting, Full')).toBe('Counting, Full');
  expect(shortName('Counting → Clock reading, from step 850')).toBe('Counting… step 850');
  expect(shortName('Counting → Clock reading (copy-1)')).toBe('Counting… (copy-1)');
});

it('writes learning rates and durations', () => {
  expect([5e-4, 0.00012, 3.0123e-5, 0.05, 1].map((rate) => formatLearningRate(rate))).toEqual([
    '5e-4',
    '1.2e-4',
    '3.01e-5',
    '0.05',
    '1',
  ]);
  expect(formatLearningRate(3.0123e-5, 15)).toBe('3.0123e-5');
  expect([4_000, 133_000, 3_840_000].map(formatDuration)).toEqual(['4 s', '2 min 13 s', '1 h 04 min']);
});

it('writes a moment with its day, and with its year where that is another', () => {
  const now = new Date(2026, 10, 24, 15, 0).getTime();
  expect(formatWhen(new Date(2026, 10, 24, 9, 5).getTime(), now)).toBe('24 Nov 09:05');
  expect(formatWhen(new Date(2025, 2, 1, 23, 59).getTime(), now)).toBe('1 Mar 2025 23:59');
});
