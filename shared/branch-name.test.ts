import { expect, it } from 'vitest';
import { branchName, runsNamed, saysItsStep } from './branch-name.js';
import { RunDescription } from './run-description.js';
import { RunId, RunParent } from './run.js';

const run = (name: string, step?: number) => ({
  description: RunDescription.parse({ name }),
  parent: step === undefined ? null : RunParent.parse({ runId: 'run-1', checkpointId: 'step-1', step }),
});

it('distinguishes a branch from its run, and a branch of a branch from both', () => {
  expect(branchName('Counting', 1200)).toBe('Counting, from step 1,200');
  expect(branchName('Counting, from step 1,200', 40)).toBe('Counting, from step 40');
});
it('is a name that a run may have, however long the parent’s is', () => {
  const name = branchName('x'.repeat(80), 1_000_000);
  expect(name).toMatch(/^x+…, from step 1,000,000$/);
  expect(run(name).description.name).toBe(name);
});
it('knows the runs of a name and those that they were continued as, not what else came from them', () => {
  const named = (runId: string, name: string, parent?: string, step = 120) => ({
    ...{ runId: RunId.parse(runId), description: RunDescription.parse({ name }) },
    parent: parent === undefined ? null : RunParent.parse({ runId: parent, checkpointId: 'step-1', step }),
  });
  const runs = [
    named('branch-2', 'Counting, from step 300', 'branch-1', 300),
    named('branch-1', 'Counting, from step 120', 'run-1'),
    named('other', 'My try', 'run-1'),
    named('of-the-other', 'Counting, from step 120', 'other'),
    named('by-hand', 'Counting, from step 120'),
    named('again', 'Counting', 'other'),
    named('run-1', 'Counting'),
  ];
  expect(runsNamed(runs, 'Counting').map(({ runId }) => runId)).toEqual(['branch-2', 'branch-1', 'again', 'run-1']);
});
it('tells runs apart whose branches have the same name, being cut to it', () => {
  const [study, variant] = ['s'.repeat(31), 'v'.repeat(31)];
  const runs = [1, 2].flatMap((seed) => {
    const description = RunDescription.parse({ name: `${study}/${variant}/s${seed}` });
    const [root, branch] = [RunId.parse(`run-${seed}`), RunId.parse(`branch-${seed}`)];
    const parent = RunParent.parse({ runId: root, checkpointId: 'step-1000', step: 1000 });
    return [
      { runId: root, description, parent: null },
      { runId: branch, description: { ...description, name: branchName(description.name, 1000) }, parent },
    ];
  });
  expect(runs[1]!.description.name).toBe(runs[3]!.description.name);
  for (const seed of [1, 2])
    expect(runsNamed(runs, `${study}/${variant}/s${seed}`).map(({ runId }) => runId)).toEqual([
      `run-${seed}`,
      `branch-${seed}`,
    ]);
});
it('says whether the name tells the step', () => {
  expect(saysItsStep(run('Counting, from step 120', 120))).toBe(true);
  expect(saysItsStep(run('Counting', 120))).toBe(false);
  expect(saysItsStep(run('Counting, from step 120', 80))).toBe(false);
});
it('ends at runs that name each other as parents, and follows a line of any length', () => {
  const named = (runId: string, parent: string, step: number, from: string) => ({
    ...{ runId: RunId.parse(runId), description: RunDescription.parse({ name: branchName(from, step) }) },
    parent: RunParent.parse({ runId: parent, checkpointId: 'step-1', step }),
  });
  const circle = [named('run-a', 'run-b', 1, 'X'), named('run-b', 'run-a', 1, 'X')];
  expect(runsNamed(circle, 'X')).toEqual([]);
  const root = { runId: RunId.parse('run-0'), description: RunDescription.parse({ name: 'X' }), parent: null };
  const line = [root, ...Array.from({ length: 20_000 }, (_, i) => named(`run-${i + 1}`, `run-${i}`, i, 'X'))];
  expect(runsNamed([...line].reverse(), 'X')).toHaveLength(20_001);
});
