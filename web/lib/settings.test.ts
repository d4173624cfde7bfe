import { describe, expect, it } from 'vitest';
import { CommandRecord } from '@plumbline/shared/command';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { chosenSettings, settingWords, trainingWords } from './settings';

it('lists only what differs from the default', () => {
  expect(chosenSettings(RunConfig.parse({ name: 'x', steps: 90, seed: 7, recipe: 'mlp' }))).toEqual([]);
  const config = RunConfig.parse({ name: 'x', warmupSteps: 0, weightDecay: 0.1, batchSize: 8, backend: 'wasm' });
  expect(chosenSettings(config)).toEqual(['no warm-up', 'weight decay 0.1', 'batch size 8', 'backend wasm']);
  expect(chosenSettings(RunConfig.parse({ name: 'x', evaluationSeed: 2 }))).toEqual(['evaluation seed 2']);
  const method = { kind: 'lora', rank: 4 };
  expect(chosenSettings(RunConfig.parse({ name: 'x', method }))).toEqual(['LoRA r4 α16']);
  expect(chosenSettings(config, ['weightDecay', 'batchSize'])).toEqual(['weight decay 0.1', 'batch size 8']);
});

describe('trainingWords', () => {
  const config = RunConfig.parse({ name: 'x', learningRate: 1e-3 });
  const applied = (action: unknown): CommandRecord =>
    CommandRecord.parse({
      ...{ commandId: 'command-1', runId: 'run-1', action, author: 'dashboard', state: 'applied' },
      ...{ receivedMs: 1, endedMs: 1, step: 5, before: null, after: null, reason: '' },
    });
  const rate = (learningRate: number): CommandRecord => applied({ kind: 'set_learning_rate', learningRate });
  const train = (recipe: string): CommandRecord =>
    applied({ kind: 'set_trainable', selection: { kind: 'recipe', recipe } });
  it('name the first value only while the current one differs', () => {
    expect(trainingWords(config, [], [])).toEqual({
      trains: { now: 'Full', began: '' },
      rate: { now: '1e-3', began: '' },
    });
    const { trains, rate: now } = trainingWords(config, [], [train('sa_proj'), rate(1e-4)]);
    expect([trains!, now!].map(settingWords)).toEqual(['SA Proj (began with Full)', '1e-4 (began with 1e-3)']);
    expect(settingWords(trainingWords(config, [], [train('sa_proj'), train('full')]).trains!)).toBe('Full');
  });
  it('are null for what no trainer sent, and show what was set since', () => {
    expect(trainingWords({}, [], [])).toEqual({ trains: null, rate: null });
    const lowered = applied({ kind: 'lower_learning_rate', factor: 0.5 });
    expect(trainingWords({}, [], [lowered]).rate).toBeNull();
    expect(trainingWords({}, [], [train('mlp'), rate(2e-4), lowered])).toEqual({
      trains: { now: 'MLP', began: '' },
      rate: { now: '1e-4', began: '' },
    });
  });
  it('count the parent’s changes as the beginning of a branch that took them over', () => {
    const takenOver = [train('mlp_gate_up'), rate(5e-4)];
    expect(trainingWords(config, takenOver, [])).toEqual({
      trains: { now: 'MLP Gate & Up', began: '' },
      rate: { now: '5e-4', began: '' },
    });
    expect(trainingWords(config, takenOver, [rate(2e-4)]).rate).toEqual({ now: '2e-4', began: 'began with 5e-4' });
  });
});
