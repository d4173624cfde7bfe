import { expect, it } from 'vitest';
import { branchName, goesByName, saysItsStep } from './branch-name.js';
import { RunConfig, RunParent } from './run.js';

const run = (name: string, step?: number) => ({
  config: RunConfig.parse({ name }),
  parent: step === undefined ? null : RunParent.parse({ runId: 'run-1', checkpointId: 'step-1', step }),
});

it('tells a branch apart from its run, and a branch of a branch from both', () => {
  expect(branchName('Counting', 1200)).toBe('Counting, from step 1,200');
  expect(branchName('Counting, from step 1,200', 40)).toBe('Counting, from step 40');
});
it('is a name that a run may have, however long the parent’s is', () => {
  const name = branchName('x'.repeat(80), 1_000_000);
  expect(name).toMatch(/^x+…, from step 1,000,000$/);
  expect(run(name).config.name).toBe(name);
});
it('knows a branch by the name of its run, whatever that is cut to', () => {
  const long = 'y'.repeat(80);
  expect(goesByName(run(long), long)).toBe(true);
  expect(goesByName(run(branchName(long, 120), 120), long)).toBe(true);
  expect(goesByName(run('Counting, from step 120', 120), 'Clock')).toBe(false);
  expect(goesByName(run('Counting, from step 120'), 'Counting')).toBe(false);
});
it('says whether the name tells the step', () => {
  expect(saysItsStep(run('Counting, from step 120', 120))).toBe(true);
  expect(saysItsStep(run('Counting', 120))).toBe(false);
  expect(saysItsStep(run('Counting, from step 120', 80))).toBe(false);
});
