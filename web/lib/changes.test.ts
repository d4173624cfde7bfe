import { describe, expect, it } from 'vitest';
import { CommandRecord, type CommandAction } from '@plumbline/shared/command';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { changesOf, configAt, peakLearningRate, shortChangeWords } from './changes';

let count = 0;
const record = (action: unknown, step: number, state = 'applied'): CommandRecord =>
  CommandRecord.parse({
    commandId: `command-${++count}`,
    runId: 'run-1',
    action: action as CommandAction,
    author: 'dashboard',
    state,
    receivedMs: count,
    endedMs: count,
    step,
    before: null,
    after: null,
    reason: '',
  });
const rate = (learningRate: number, step: number, state?: string): CommandRecord =>
  record({ kind: 'set_learning_rate', learningRate }, step, state);
const config = RunConfig.parse({ name: 'x', learningRate: 1e-3 });

describe('peakLearningRate', () => {
  it('is the configuration’s until one is set, then the last that was applied', () => {
    expect(peakLearningRate(config, [record({ kind: 'pause' }, 3)])).toBe(1e-3);
    const commands = [rate(1e-4, 200), rate(5e-4, 100), rate(9e-4, 300, 'failed')];
    expect(peakLearningRate(config, commands)).toBe(1e-4);
    const lowered = record({ kind: 'lower_learning_rate', factor: 0.5 }, 250);
    expect(peakLearningRate(config, [...commands, lowered])).toBe(5e-5);
    expect(peakLearningRate(config, [lowered])).toBe(5e-4);
  });
});

it('leaves out commands that changed nothing', () => {
  const idle = { ...rate(1e-4, 300), before: { learning_rate: 1e-4 }, after: { learning_rate: 1e-4 } };
  expect(changesOf([rate(1e-4, 200), idle]).map(({ step }) => step)).toEqual([200]);
});

describe('configAt', () => {
  const chosen = (selection: unknown, step: number): CommandRecord =>
    record({ kind: 'set_trainable', selection }, step);
  const commands = [
    chosen({ kind: 'recipe', recipe: 'sa_proj' }, 50),
    rate(3e-4, 60),
    chosen({ kind: 'pattern', pattern: '*' }, 90),
  ];
  it('is the configuration in force at that step, not the first or a later one', () => {
    expect(configAt(config, commands, 40)).toEqual(config);
    expect(configAt(config, commands, 50)).toEqual({ ...config, recipe: 'sa_proj' });
    expect(configAt(config, commands, 80)).toEqual({ ...config, recipe: 'sa_proj', learningRate: 3e-4 });
  });
  it('keeps the configured recipe if a pattern was chosen', () => {
    expect(configAt(config, commands, 100)).toEqual({ ...config, learningRate: 3e-4 });
  });
});

describe('changesOf', () => {
  it('has the changes of the optimizer and the rules, in order of steps, in a few words', () => {
    const selection = { kind: 'recipe', recipe: 'sa_proj' };
    const commands = [
      rate(3e-4, 1200),
      record({ kind: 'set_trainable', selection }, 400),
      record({ kind: 'pause' }, 9),
      record({ kind: 'set_rules', rules: [] }, 1300),
    ];
    expect(changesOf(commands).map(shortChangeWords)).toEqual([
      'SA Proj at 400',
      'lr 3e-4 at 1,200',
      'no guard rules at 1,300',
    ]);
  });
});
