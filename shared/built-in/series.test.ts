import { describe, expect, it } from 'vitest';
import { RunConfig } from './run-config.js';
import { builtInSeries } from './series.js';

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
