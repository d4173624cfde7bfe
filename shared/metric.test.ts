import { describe, expect, it } from 'vitest';
import {
  contributionChange,
  fourDigits,
  heldOutAccuracy,
  metrics,
  measuredWords,
  MetricName,
  targetAccuracy,
  unitOf,
  weightDrift,
  WireMetrics,
} from './metric.js';

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

describe('unitOf', () => {
  it.each([
    [metrics.kl, 'nats'],
    [metrics.loss, 'nats'],
    [metrics.top1Agreement, 'percent'],
    [metrics.heldOutMean, 'percent'],
    [heldOutAccuracy('colour'), 'percent'],
    [targetAccuracy('counting'), 'percent'],
    [metrics.numberTokensHeldOut, 'probability'],
    [weightDrift('language_model.layers.0.mlp.up_proj'), 'ratio'],
    [contributionChange(0, 'mlp'), 'logits'],
    [metrics.stepDurationMs, 'milliseconds'],
    [metrics.probeDurationMs, 'milliseconds'],
    [metrics.energyJoules, 'joules'],
    [metrics.learningRate, null],
    [metrics.gradientNorm, null],
    ['my/own', null],
  ])('of %s is %s', (metric, unit) => expect(unitOf(metric)).toBe(unit));
});

describe('measuredWords', () => {
  it.each([
    [metrics.heldOutMean, 52.5999, false, '52.6 %'],
    [metrics.heldOutMean, -33.333, true, '−33.33 pp'],
    [metrics.kl, 1.3771, false, '1.377 nats'],
    [metrics.kl, -1.5e-7, true, '−1.5e-7 nats'],
    [metrics.numberTokensHeldOut, 0.061, false, '0.061'],
    [metrics.learningRate, 5e-4, false, '0.0005'],
    [metrics.loss, NaN, false, 'NaN'],
  ])('of %s %d', (metric, value, isDifference, words) =>
    expect(measuredWords(metric, value, isDifference)).toBe(words),
  );
});
