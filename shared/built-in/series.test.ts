import { describe, expect, it } from 'vitest';
import { contributionChange, metrics, targetAccuracy, weightDrift } from '../metric.js';
import { recovery } from '../recovery.js';
import { RunConfig } from './run-config.js';
import { builtInDeclaration, builtInSeries } from './series.js';

const seriesOf = (settings: object) => builtInSeries(RunConfig.parse({ name: 'x', ...settings }));

describe('builtInSeries', () => {
  it('has the target skills that are taught and counting, which is always asked', () => {
    const targets = seriesOf({ tasks: ['kinds', 'kinds'] }).filter((name) => name.startsWith('target/'));
    expect(targets).toEqual(['target/kinds/accuracy', 'target/counting/accuracy']);
  });
  it('has what a method adds', () => {
    const plain = seriesOf({});
    expect(plain).not.toContain('train/distillation_loss');
    expect(seriesOf({ method: { kind: 'lwf' } })).toContain('train/distillation_loss');
    const added = seriesOf({ method: { kind: 'mixture_of_experts', experts: 2 } }).filter(
      (name) => !plain.includes(name) && name.includes('layers.3'),
    );
    expect(added).toHaveLength(7);
    expect(added).toContain('drift/language_model.layers.3.mlp.experts.1.up_proj');
  });
});

describe('what is declared of a series', () => {
  it.each([
    [metrics.kl, 'nats'],
    [metrics.loss, 'nats'],
    [metrics.top1Agreement, '%'],
    [metrics.heldOutMean, '%'],
    [targetAccuracy('counting'), '%'],
    [metrics.numberTokensHeldOut, 'probability'],
    [weightDrift('language_model.layers.0.mlp.up_proj'), '× the base'],
    [contributionChange(0, 'mlp'), 'logits'],
    [metrics.probeDurationMs, 'ms'],
    [metrics.energyJoules, 'J'],
    [metrics.learningRate, undefined],
    ['my/own', undefined],
  ])('has a unit: of %s %s', (name, unit) => expect(builtInDeclaration(name).unit).toBe(unit));

  it('leaves recovery undefined while bias or KL have moved by no more than probe sets differ', () => {
    for (const metric of [metrics.numberTokensHeldOut, metrics.kl, metrics.js]) {
      const floor = builtInDeclaration(metric).noiseFloor!;
      expect(recovery([0, floor, floor / 2], 0, 'higher', floor)).toBeNull();
      expect(recovery([0, 4 * floor, floor], 0, 'higher', floor)!.percent).toBeCloseTo(75, 10);
    }
  });

  it('has the noise of an accuracy, which follows from the base model and the questions', () => {
    const baseline = { 'held_out/mean/accuracy': 90, 'held_out/colour/accuracy': 90, 'probe/questions_per_task': 100 };
    expect(builtInDeclaration(metrics.heldOutMean, baseline)).toMatchObject({ better: 'higher', noiseFloor: 6 });
    expect(builtInDeclaration(metrics.heldOutMean).noiseFloor).toBeUndefined();
  });
});
