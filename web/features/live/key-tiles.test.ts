import { expect, it } from 'vitest';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunSummary, type RunState } from '@plumbline/shared/run';
import { RunDescription } from '@plumbline/shared/run-description';
import type { SeriesFacts } from '@plumbline/shared/series';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { expectedSeries } from '../../lib/expected-series';
import { RunStore } from '../../lib/run-store';
import { keyTiles } from './key-tiles';
import { runSeries } from './metric-series';

function storeOf(description: RunDescription, declared: readonly SeriesFacts[], state: RunState = 'running'): RunStore {
  const store = new RunStore();
  store.run(
    RunSummary.parse({
      ...{ runId: 'run-1', description, parent: null, state, reason: '', trainer: null, trainerConnected: true },
      ...{ createdMs: 0, startedMs: 0, endedMs: state === 'running' ? null : 1, lastStep: 9, lastSeq: 9 },
    }),
  );
  const series = declared.map((facts, number) => ({ number, ...facts }));
  store.control([{ type: 'run_started', seq: 1, step: 0, baseline: {}, series } as unknown as ControlEvent]);
  return store;
}
const foreign = RunDescription.parse({ name: 'Of its own' });
const labels = (store: RunStore): string[] => keyTiles(store).map(({ label }) => label);

it('has tiles of the series that a run has, those with a direction first, then known ones', () => {
  const store = storeOf(foreign, [
    { name: 'tokens' },
    { name: 'loss' },
    { name: 'lr-AdamW/pg1' },
    { name: 'val/AR@100', label: 'Average recall', unit: '%', better: 'higher' },
  ]);
  store.metrics([
    {
      ...{ type: 'step_completed', seq: 2, step: 2, stage: 0, wallTimeMs: 2 },
      metrics: { 'val/AR@100': 41.25, loss: 2.5, 'lr-AdamW/pg1': 1e-4, tokens: 10 },
    },
  ]);
  expect(keyTiles(store).map(({ label, value }) => [label, value])).toEqual([
    ['Average recall', '41.3 %'],
    ['Learning rate', 'now 1e-4'],
    ['loss', '2.500'],
    ['tokens', '10.00'],
  ]);
});

it('names each of several learning rates, in the order in which they were declared', () => {
  const names = ['lr/vision', 'lr/language', 'lr/head'];
  const store = storeOf(
    foreign,
    names.map((name) => ({ name })),
  );
  store.metrics([
    {
      ...{ type: 'step_completed', seq: 2, step: 2, stage: 0, wallTimeMs: 2 },
      metrics: { 'lr/head': 1e-3, 'lr/language': 1e-5, 'lr/vision': 1e-4 },
    },
  ]);
  expect(keyTiles(store)[0]).toMatchObject({
    ...{ label: 'Learning rate', value: '1e-5 to 1e-3' },
    ...{ note: 'vision 1e-4, language 1e-5, head 1e-3', hint: 'lr/vision: 1e-4\nlr/language: 1e-5\nlr/head: 1e-3' },
  });
});

it('has at most eight, and keeps room for known ones', () => {
  const many = Array.from({ length: 20 }, (_, i) => ({ name: `eval/${i}`, better: 'lower' as const }));
  expect(labels(storeOf(foreign, [...many, { name: 'train/loss' }]))).toEqual([
    ...['eval/0', 'eval/1', 'eval/2', 'eval/3', 'eval/4', 'eval/5', 'eval/6'],
    'Loss',
  ]);
});

it('has none of a run that has sent no series', () => {
  expect(labels(storeOf(foreign, []))).toEqual([]);
});

it('awaits the series of the built-in trainer until the run has ended', () => {
  const description = describeRun(RunConfig.parse({ name: 'x', tasks: ['counting'] }));
  const loss = [{ name: 'train/loss' }];
  const all = ['Counting accuracy', 'Held-out accuracy', 'Recovered', 'Number-token bias', 'KL(base ‖ now)', 'Loss'];
  expect(labels(storeOf(description, loss))).toEqual([...all, 'Learning rate', 'Energy']);
  expect(labels(storeOf(description, loss, 'failed'))).toEqual(['Loss']);
});

it('says that a declared series has no value so far', () => {
  const [tile] = keyTiles(storeOf(foreign, [{ name: 'val/acc', better: 'higher' }]));
  expect(tile).toMatchObject({ value: '–', note: 'no value so far' });
});

it('leaves no line in a chart for a series that the run does not have', () => {
  const store = storeOf(foreign, [{ name: 'shift/kl' }]);
  const { shift, bias, accuracy, learningRate } = runSeries(store, expectedSeries(store), new Map());
  expect(shift.map(({ label }) => label)).toEqual(['KL']);
  expect([bias, accuracy, learningRate]).toEqual([[], [], []]);
});
