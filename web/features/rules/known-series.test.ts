import { describe, expect, it } from 'vitest';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { builtInSeries } from '@plumbline/shared/built-in/series';
import { RunStore } from '../../lib/run-store';
import { closestName, seriesWithValues, unknownWords } from './known-series';

const names = builtInSeries(RunConfig.parse({ name: 'x' }));

describe('closestName', () => {
  it.each([
    ['held_out/mean/acuracy', 'held_out/mean/accuracy'],
    ['loss', 'train/loss'],
    ['train/los', 'train/loss'],
    ['held_out/yesno/accuracy', 'held_out/yes_no/accuracy'],
    ['drift/language_model.layers.1.mlp.upproj', 'drift/language_model.layers.1.mlp.up_proj'],
    ['', null],
    ['what/ever', null],
  ])('of %s is %s', (typed, name) => {
    expect(closestName(typed, names)).toBe(name);
  });
});

describe('unknownWords', () => {
  it('say which name was probably meant', () => {
    expect(unknownWords(' held_out/mean/acuracy', { names, areAll: true })).toBe(
      'No run of these tasks has the series “held_out/mean/acuracy”: did you mean held_out/mean/accuracy?',
    );
    expect(unknownWords('my/own', { names, areAll: false })).toBe('This run has had no value of “my/own” so far.');
  });
  it('say nothing of a series that is known, nor while none is', () => {
    expect(unknownWords('train/loss ', { names, areAll: true })).toBe('');
    expect(unknownWords('my/own', { names: [], areAll: false })).toBe('');
  });
});

describe('seriesWithValues', () => {
  it('are those of the run itself, not those that a chart waits for, nor its times', () => {
    const store = new RunStore();
    store.buffer('shift/kl');
    const metrics = { 'train/loss': 1, 'my/own': 2 };
    store.metrics([{ type: 'step_completed', seq: 2, step: 1, stage: 0, wallTimeMs: 1, metrics }]);
    expect(seriesWithValues(store)).toEqual(['my/own', 'train/loss']);
  });
});
