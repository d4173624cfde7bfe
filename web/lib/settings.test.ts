import { expect, it } from 'vitest';
import { RunConfig } from '@plumbline/shared/run';
import { chosenSettings } from './settings';

it('tells what differs from the default and nothing else', () => {
  expect(chosenSettings(RunConfig.parse({ name: 'x', steps: 90, seed: 7, recipe: 'mlp' }))).toEqual([]);
  const config = RunConfig.parse({ name: 'x', warmupSteps: 0, weightDecay: 0.1, batchSize: 8, backend: 'wasm' });
  expect(chosenSettings(config)).toEqual(['no warm-up', 'weight decay 0.1', 'batch size 8', 'backend wasm']);
  expect(chosenSettings(RunConfig.parse({ name: 'x', evaluationSeed: 2 }))).toEqual(['evaluation seed 2']);
  const method = { kind: 'lora', rank: 4 };
  expect(chosenSettings(RunConfig.parse({ name: 'x', method }))).toEqual(['LoRA r4 α16']);
  expect(chosenSettings(config, ['weightDecay', 'batchSize'])).toEqual(['weight decay 0.1', 'batch size 8']);
});
