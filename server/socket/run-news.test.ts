import { EventEmitter } from 'node:events';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { RunId, type RunSummary } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';
import { tellOfRuns } from './run-news.js';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());
const idOf = (i: number): RunId => RunId.parse(`run-${i}`);

/** Runs that are at some step each, and what is told of them. */
function news() {
  const steps = new Map<RunId, number>();
  const find = (runId: RunId) => (steps.has(runId) ? ({ runId, lastStep: steps.get(runId) } as RunSummary) : null);
  const runs = Object.assign(new EventEmitter(), { find }) as unknown as RunRegistry;
  const told: [RunId, number, boolean][] = [];
  tellOfRuns(runs, {
    changed: ({ runId, lastStep }) => told.push([runId, lastStep, false]),
    progressed: ({ runId, lastStep }) => told.push([runId, lastStep, true]),
  });
  return {
    told,
    change: (runId: RunId) => runs.emit('run', find(runId)!, undefined),
    step: (runId: RunId) => {
      steps.set(runId, (steps.get(runId) ?? 0) + 1);
      runs.emit('events', runId, []);
    },
    remove: (runId: RunId) => steps.delete(runId),
  };
}

it('tells of a change at once, and of progress once a second, with where the run is then', async () => {
  const { told, change, step } = news();
  step(idOf(1));
  change(idOf(1));
  expect(told).toEqual([[idOf(1), 1, false]]);
  for (let i = 0; i < 5; i++) step(idOf(1));
  await vi.advanceTimersByTimeAsync(1000);
  expect(told.slice(1)).toEqual([[idOf(1), 6, true]]);
  await vi.advanceTimersByTimeAsync(5000);
  expect(told).toHaveLength(2);
});

it('leaves out none of many runs, however often some of them step', async () => {
  const { told, step } = news();
  for (let second = 0; second < 5; second++) {
    for (let i = 0; i < 450; i++) for (let times = i < 100 ? 3 : 1; times > 0; times--) step(idOf(i));
    await vi.advanceTimersByTimeAsync(1000);
  }
  expect(told).toHaveLength(500);
  expect(new Set(told.map(([runId]) => runId)).size).toBe(450);
});

it('tells nothing of a run that is no more', async () => {
  const { told, step, remove } = news();
  step(idOf(1));
  remove(idOf(1));
  await vi.advanceTimersByTimeAsync(2000);
  expect(told).toEqual([]);
});
