import { describe, expect, it } from 'vitest';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import { RunDescription } from '@plumbline/shared/run-description';
import { RunListQuery } from '@plumbline/shared/run-list';
import { Refusal } from './refusal.js';
import { filterRuns, pageOf } from './run-page.js';

const aRun = (id: string, over: Partial<RunSummary> = {}): RunSummary => ({
  ...{ runId: id as RunId, description: RunDescription.parse({ name: `Run ${id}` }), parent: null, state: 'finished' },
  ...{ reason: '', trainer: null, trainerConnected: false, createdMs: 1, startedMs: null, endedMs: null },
  ...{ lastStep: 0, lastSeq: 0 },
  ...over,
});
const query = (of: Record<string, unknown>): RunListQuery => RunListQuery.parse(of);
const ids = (runs: readonly RunSummary[]): string[] => runs.map(({ runId }) => runId);
const noValue = (): undefined => undefined;

describe('a page of runs', () => {
  const runs = Array.from({ length: 25 }, (_, i) => aRun(`run-${i + 100}`, { createdMs: Math.floor(i / 3) }));

  it('continues the previous page without repeats or gaps, whatever runs come and go', () => {
    let there = [...runs];
    const seen: string[] = [];
    for (let cursor: string | undefined; ;) {
      const page = pageOf(there, query({ sort: 'created', limit: 4, cursor }), noValue);
      seen.push(...ids(page.runs));
      if (page.next === null) break;
      cursor = page.next;
      // The last of the page goes, with one that was seen; newer ones come.
      there = there.filter(({ runId }) => runId !== seen.at(-1) && runId !== seen[0]);
      there.push(aRun(`new-${seen.length}`, { createdMs: 1000 + seen.length }));
    }
    expect(seen).toEqual(ids(runs.toSorted((a, b) => b.createdMs - a.createdMs || (a.runId < b.runId ? 1 : -1))));
  });
  it.each([
    ['name', 'asc', ['run-a', 'run-b', 'run-c']],
    ['last_step', 'desc', ['run-c', 'run-a', 'run-b']],
    ['activity', 'desc', ['run-b', 'run-c', 'run-a']],
    ['value:shift/kl', 'asc', ['run-c', 'run-a', 'run-b']],
    ['value:shift/kl', 'desc', ['run-a', 'run-c', 'run-b']],
  ])('is sorted by %s, %s', (sort, order, expected) => {
    const some = [
      aRun('run-a', { endedMs: 5, lastStep: 3, createdMs: 2 }),
      aRun('run-b', { state: 'running', lastStep: 1, createdMs: 1 }),
      aRun('run-c', { endedMs: 7, lastStep: 9, createdMs: 0 }),
    ];
    const values: Record<string, number> = { 'run-a': 2, 'run-b': NaN, 'run-c': 1 };
    const all: string[] = [];
    for (let cursor: string | undefined; ;) {
      const page = pageOf(some, query({ sort, order, limit: 1, cursor }), ({ runId }) => values[runId]);
      all.push(...ids(page.runs));
      if (page.next === null) break;
      cursor = page.next;
    }
    expect(all).toEqual(expected);
  });
  it('counts all runs and those under way', () => {
    const some = [...runs, aRun('going', { state: 'paused' })];
    expect(pageOf(some, query({ limit: 2 }), noValue)).toMatchObject({ total: 26, going: 1 });
  });
  it('refuses a cursor of another order, and an invalid one', () => {
    const { next } = pageOf(runs, query({ limit: 2 }), noValue);
    for (const cursor of [next!, 'nonsense', Buffer.from('[1]').toString('base64url')])
      expect(() => pageOf(runs, query({ sort: 'name', cursor }), noValue)).toThrow(Refusal);
  });
});

describe('the filters', () => {
  const branch = (id: string, parent: string): RunSummary =>
    aRun(id, { parent: { runId: parent as RunId, checkpointId: 'step-1' as never, step: 1 } });
  const all = [
    aRun('alpha', { state: 'running' }),
    branch('run-b1', 'alpha'),
    branch('run-b2', 'run-b1'),
    branch('run-b3', 'run-b1'),
    aRun('zebra', { description: RunDescription.parse({ name: 'Run zebra', tags: ['kept'] }) }),
  ];

  it.each([
    [{ state: 'running' }, ['alpha']],
    [{ state: ['running', 'finished'], text: ' run ZEB ' }, ['zebra']],
    [{ tag: 'kept' }, ['zebra']],
    [{ text: 'ALPHA' }, ['alpha']],
    [{ run: ['zebra', 'nobody', 'run-b1'] }, ['run-b1', 'zebra']],
    [{ family: 'run-b2' }, ['alpha', 'run-b1', 'run-b2']],
    [{ family: ['alpha'] }, ['alpha', 'run-b1', 'run-b2', 'run-b3']],
    [{ family: ['zebra', 'nobody'] }, ['zebra']],
  ])('%o leave %o', (filters, expected) => {
    expect(ids(filterRuns(all, query(filters)))).toEqual(expected);
  });
  it('take parents in a circle', () => {
    const circle = [branch('run-c1', 'run-c2'), branch('run-c2', 'run-c1')];
    expect(ids(filterRuns(circle, query({ family: 'run-c1' })))).toEqual(['run-c1', 'run-c2']);
  });
});
