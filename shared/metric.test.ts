import { describe, expect, it } from 'vitest';
import { fourDigits, measuredWords, MetricName, WireMetrics } from './metric.js';

it('tells a number by four digits, the largest too', () => {
  const told = [1.7976931348623157e308, -1.7976931348623157e308, 0.123456, Infinity, NaN].map(fourDigits);
  expect(told).toEqual(['1.798e+308', '−1.798e+308', '0.1235', 'Infinity', 'NaN']);
});

describe('the name of a metric', () => {
  it.each([
    'loss',
    'lr-AdamW/pg1',
    'val/AR@100',
    'eval/acc top-1',
    'constructor',
    '__proto__',
    '損失',
    'x'.repeat(200),
  ])('may be %s', (name) => expect(MetricName.safeParse(name).success).toBe(true));
  it.each(['', ' loss', 'loss ', 'a\nb', 'a\u0000', '\u202eloss', '\ud800', 'x'.repeat(201)])('is not %j', (name) =>
    expect(MetricName.safeParse(name).success).toBe(false),
  );
});

it('reads metrics of names that every object has', () => {
  const read = WireMetrics.parse(JSON.parse('{"__proto__":1,"constructor":"NaN","toString":2}'));
  expect(Object.entries(read)).toEqual([
    ['__proto__', 1],
    ['constructor', 'NaN'],
    ['toString', 2],
  ]);
  expect(read['valueOf']).toBeUndefined();
  expect(WireMetrics.safeParse({ 'run/wall_time_ms': 1 }).success).toBe(false);
});

describe('measuredWords', () => {
  it.each([
    ['%', 52.5999, false, '52.6 %'],
    ['%', -33.333, true, '−33.33 pp'],
    ['nats', 1.3771, false, '1.377 nats'],
    ['nats', -1.5e-7, true, '−1.5e-7 nats'],
    ['probability', 0.061, false, '0.061'],
    [undefined, 5e-4, false, '0.0005'],
    ['tokens/s', 12, true, '12 tokens/s'],
    ['nats', NaN, false, 'NaN'],
  ])('in %s of %d', (unit, value, isDifference, words) => expect(measuredWords(value, unit, isDifference)).toBe(words));
});
