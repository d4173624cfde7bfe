import { describe, expect, it } from 'vitest';
import { builtInSeries } from './built-in/series.js';
import { closestName } from './closest-name.js';
import { RunConfig } from './built-in/run-config.js';

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
