import { describe, expect, it } from 'vitest';
import { contributionChange, heldOutAccuracy, metrics, targetAccuracy, unitOf, weightDrift } from './metric.js';

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
