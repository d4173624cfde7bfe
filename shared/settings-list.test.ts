import { describe, expect, it } from 'vitest';
import { differingSettings, settingEntries, settingName, settingValue } from './settings-list.js';

const lines = (settings: Record<string, unknown>): string[] =>
  settingEntries(settings).map((entry) => `${settingName(entry)} = ${settingValue(entry)}`);

describe('settings one by one', () => {
  it('go into objects, and take a short list as one', () => {
    expect(
      lines({
        lr: 1e-5,
        optim: { betas: [0.9, 0.999], name: 'adamw', fused: true },
        resume: null,
        empty: {},
        none: [],
      }),
    ).toEqual([
      'lr = 1e-5',
      'optim.betas = 0.9, 0.999',
      'optim.name = adamw',
      'optim.fused = yes',
      'resume = none',
      'empty = {}',
      'none = []',
    ]);
  });
  it('go into a list of objects, and into a long one', () => {
    expect(lines({ stages: [{ task: 'a' }, { task: 'b' }] })).toEqual(['stages.0.task = a', 'stages.1.task = b']);
    expect(lines({ layers: Array.from({ length: 20 }, (_, i) => i) })).toHaveLength(20);
  });
});

it('settings that differ have each run’s value, and those that are equal are left out', () => {
  const a = { lr: 1e-5, seed: 1, optim: { name: 'adamw' }, constructor: 'x' };
  expect(differingSettings([a, {}])).toEqual([]);
  expect(differingSettings([a, { ...a, seed: 2 }, { lr: 1e-5, seed: 1, optim: { name: 'sgd' } }])).toEqual([
    { name: 'seed', values: ['1', '2', '1'] },
    { name: 'optim.name', values: ['adamw', 'adamw', 'sgd'] },
    { name: 'constructor', values: ['x', 'x', undefined] },
  ]);
});
