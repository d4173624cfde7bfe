import { expect, it } from 'vitest';
import { progressOf } from '@plumbline/shared/run';
import { ListedRun } from '@plumbline/shared/run-list';
import { RunList } from './run-list';

const run = (runId: string, revision: number, lastStep = 0, createdMs = 1): ListedRun =>
  ListedRun.parse({
    overview: null,
    ...{ runId, description: { name: runId }, parent: null, state: 'running', reason: '', trainer: null, createdMs },
    ...{ trainerConnected: true, startedMs: 1, endedMs: null, lastStep, lastSeq: lastStep, revision },
  });
const steps = (list: RunList): string[] | undefined => list.runs?.map(({ runId, lastStep }) => `${runId} ${lastStep}`);

it('keeps a run that was created while the list was fetched', () => {
  const list = new RunList();
  list.asked();
  list.heard(run('new-run', 2));
  expect(list.runs).toBeNull();
  list.answered([run('old-run', 1)]);
  expect(steps(list)).toEqual(['old-run 0', 'new-run 0']);
});
it('keeps the newer of list and message, in whichever order they come', () => {
  const list = new RunList();
  list.asked();
  list.heard(run('run-a', 5, 50));
  list.heard(run('run-b', 5, 50));
  list.answered([run('run-a', 4, 40), run('run-b', 6, 60)]);
  expect(steps(list)).toEqual(['run-a 50', 'run-b 60']);
  list.heard(run('run-b', 5, 50));
  expect(steps(list)).toEqual(['run-a 50', 'run-b 60']);
});
it('follows the progress of its runs, and still takes a later change', () => {
  const list = new RunList();
  list.asked();
  list.answered([run('run-a', 4, 40)]);
  const progress = (of: ListedRun) => ({ ...progressOf(of), revision: 6 });
  list.progressed(progress(run('run-a', 6, 60)));
  list.progressed(progress(run('run-b', 6, 60)));
  list.progressed({ ...progressOf(run('run-a', 3, 30)) });
  expect(steps(list)).toEqual(['run-a 60']);
  list.heard({ ...run('run-a', 5, 50), state: 'paused' });
  expect(list.runs).toMatchObject([{ state: 'paused' }]);
});
it('drops runs that a later list lacks, and deleted runs', () => {
  const list = new RunList();
  list.asked();
  list.answered([run('run-a', 1), run('run-b', 1)]);
  list.asked();
  list.heard(run('run-c', 2));
  list.drop(({ runId }) => runId === 'run-c');
  list.answered([run('run-b', 1)]);
  expect(steps(list)).toEqual(['run-b 0']);
});
it('has the later run of an id, whatever its revision', () => {
  const list = new RunList();
  list.asked();
  list.answered([run('run-a', 9, 90, 1)]);
  list.heard(run('run-a', 1, 0, 2));
  expect(steps(list)).toEqual(['run-a 0']);
});

const seen = (run: ListedRun, lastSeq: number): ListedRun => ({
  ...run,
  overview: { lastSeq, series: [], changes: [] },
});
it('keeps the newest overview, whatever else a message says of the run', () => {
  const list = new RunList();
  list.asked();
  list.answered([seen(run('run-a', 1, 10), 10)]);
  list.heard(run('run-a', 2, 20));
  expect(list.runs).toMatchObject([{ lastStep: 20, overview: { lastSeq: 10 } }]);
  list.refreshed(list.runs!, [seen(run('run-a', 1, 15), 15)]);
  expect(list.runs).toMatchObject([{ lastStep: 20, overview: { lastSeq: 15 } }]);
});
it('drops requested runs that the hub lacks, and adds no others', () => {
  const list = new RunList();
  list.asked();
  list.answered([run('run-a', 1), run('run-b', 1), run('run-c', 1)]);
  list.refreshed([run('run-a', 1), run('run-b', 1)], [run('run-b', 2, 5), run('run-d', 1)]);
  expect(steps(list)).toEqual(['run-b 5', 'run-c 0']);
});
it('has only runs that belong to the list, and drops one that no longer does', () => {
  const list = new RunList(({ lastStep }) => lastStep < 10);
  list.asked();
  list.answered([run('run-a', 1)]);
  list.heard(run('run-b', 1, 50));
  list.heard(run('run-a', 2, 60));
  expect(steps(list)).toEqual([]);
});
