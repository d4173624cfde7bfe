import { expect, it } from 'vitest';
import { RunSummary } from '@plumbline/shared/run';
import { orderRuns } from './run-tree';

const run = (runId: string, createdMs: number, endedMs: number | null, parent?: string): RunSummary =>
  RunSummary.parse({
    runId,
    description: { name: runId },
    parent: parent ? { runId: parent, checkpointId: 'step-1', step: 1 } : null,
    state: endedMs === null ? 'running' : 'finished',
    reason: '',
    trainer: null,
    trainerConnected: false,
    createdMs,
    startedMs: createdMs,
    endedMs,
    lastStep: 0,
    lastSeq: 0,
  });
const order = (...runs: RunSummary[]): string[] => orderRuns(runs).map(({ run, depth }) => `${depth} ${run.runId}`);

it('sorts trees by newest activity, whatever their age', () => {
  const old = run('old', 10, 20);
  const branch = run('old-branch', 300, null, 'old');
  expect(order(run('new', 200, 250), old, branch)).toEqual(['0 old', '1 old-branch', '0 new']);
  expect(order(run('new', 200, 250), old)).toEqual(['0 new', '0 old']);
});
it('has a running branch above ended ones, and a branch without its parent on its own', () => {
  const root = run('root', 1, 2);
  expect(order(run('done', 50, 90, 'root'), run('going', 10, null, 'root'), root)).toEqual([
    '0 root',
    '1 going',
    '1 done',
  ]);
  expect(order(run('orphan', 5, 6, 'gone'))).toEqual(['0 orphan']);
});
it('shows runs that name each other or themselves as parents, as old hubs may have stored them', () => {
  expect(order(run('aaa', 1, 2, 'bbb'), run('bbb', 2, 3, 'aaa'), run('ccc', 3, 4, 'bbb'))).toEqual([
    '0 aaa',
    '1 bbb',
    '2 ccc',
  ]);
  expect(order(run('self', 1, 2, 'self'))).toEqual(['0 self']);
});
it('follows a chain of branches of any length', () => {
  const line = Array.from({ length: 20_000 }, (_, i) => run(`r-${i}`, i, i + 1, i > 0 ? `r-${i - 1}` : undefined));
  const rows = orderRuns(line.reverse());
  expect(rows).toHaveLength(20_000);
  expect(rows.at(-1)).toMatchObject({ run: { runId: 'r-19999' }, depth: 19_999 });
});
