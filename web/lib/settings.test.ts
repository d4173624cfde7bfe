import { describe, expect, it } from 'vitest';
import { CommandRecord } from '@plumbline/shared/command';
import { RunConfig, RunSummary } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { RunStore } from './run-store';
import { chosenSettings, settingsInForce } from './settings';

it('tells what differs from the default and nothing else', () => {
  expect(chosenSettings(RunConfig.parse({ name: 'x', steps: 90, seed: 7, recipe: 'mlp' }))).toEqual([]);
  const config = RunConfig.parse({ name: 'x', warmupSteps: 0, weightDecay: 0.1, batchSize: 8, backend: 'wasm' });
  expect(chosenSettings(config)).toEqual(['no warm-up', 'weight decay 0.1', 'batch size 8', 'backend wasm']);
  expect(chosenSettings(RunConfig.parse({ name: 'x', evaluationSeed: 2 }))).toEqual(['evaluation seed 2']);
  const method = { kind: 'lora', rank: 4 };
  expect(chosenSettings(RunConfig.parse({ name: 'x', method }))).toEqual(['LoRA r4 α16']);
  expect(chosenSettings(config, ['weightDecay', 'batchSize'])).toEqual(['weight decay 0.1', 'batch size 8']);
});

describe('what is in force', () => {
  const store = new RunStore();
  const event = (type: string, seq: number, recipe: string): ControlEvent =>
    ({ type, seq, step: seq, selection: { kind: 'recipe', recipe }, trainable: [] }) as unknown as ControlEvent;
  const rate = (learningRate: number): CommandRecord =>
    CommandRecord.parse({
      ...{ commandId: 'command-1', runId: 'run-1', action: { kind: 'set_learning_rate', learningRate } },
      ...{ author: 'dashboard', state: 'applied', receivedMs: 1, endedMs: 1, step: 5, before: null, after: null },
      reason: '',
    });
  it('is what the run began with, until that is changed', () => {
    store.run(
      RunSummary.parse({
        ...{ runId: 'run-1', config: { name: 'x', learningRate: 1e-3 }, parent: null, state: 'running', reason: '' },
        ...{
          trainer: null,
          trainerConnected: true,
          createdMs: 0,
          startedMs: 0,
          endedMs: null,
          lastStep: 0,
          lastSeq: 0,
        },
      }),
    );
    expect(settingsInForce(store)).toEqual(['Full', 'lr 1e-3']);
    store.control([event('run_started', 1, 'full')]);
    store.control([event('trainable_changed', 2, 'sa_proj')]);
    store.commands([rate(1e-4)]);
    expect(settingsInForce(store)).toEqual(['SA Proj (began with Full)', 'lr 1e-4 (began with 1e-3)']);
    store.control([event('trainable_changed', 3, 'full')]);
    expect(settingsInForce(store)[0]).toBe('Full');
  });
  it('of a branch that took over its parent’s changes, began with those', () => {
    const branch = new RunStore();
    branch.run({ ...store.runSummary!, parent: null });
    branch.control([event('run_started', 1, 'sa_proj')]);
    branch.pastIs({ ancestors: [], columns: new Map(), commands: [], inForce: [rate(2e-4)] });
    expect(settingsInForce(branch)).toEqual(['SA Proj', 'lr 2e-4']);
  });
});
