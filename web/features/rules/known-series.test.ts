import { describe, expect, it } from 'vitest';
import { RunStore } from '../../lib/run-store';
import { seriesOfRun } from './known-series';

describe('seriesOfRun', () => {
  it('has the run’s own series, not those that only a chart awaits, nor its step times', () => {
    const store = new RunStore();
    store.buffer('shift/kl');
    const metrics = { 'train/loss': 1, 'my/own': 2 };
    store.metrics([{ type: 'step_completed', seq: 2, step: 1, stage: 0, wallTimeMs: 1, metrics }]);
    expect(seriesOfRun(store)).toEqual(['my/own', 'train/loss']);
  });
});
