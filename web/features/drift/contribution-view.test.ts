import { expect, it } from 'vitest';
import { RunStore } from '../../lib/run-store';
import { contributionView } from './contribution-view';

const probe = (seq: number, step: number, metrics: Record<string, number | 'NaN'>) =>
  ({ type: 'probe_completed', seq, step, stage: 0, wallTimeMs: 0, metrics }) as const;

it('lays out the latest probe by layers and blocks, as shares of the largest change and push', () => {
  const store = new RunStore();
  expect(contributionView(store)).toBeNull();
  const zero = { 'contribution/0/self_attn': 0, 'contribution/0/mlp': 0 };
  store.metrics([
    probe(1, 0, zero),
    probe(2, 25, {
      ...{ 'contribution/0/self_attn': 0.1, 'contribution/0/mlp': 0.2 },
      ...{ 'contribution/10/self_attn': 0, 'contribution/10/mlp': 0.4 },
      ...{ 'contribution/number_tokens/0/self_attn': 0.01, 'contribution/number_tokens/0/mlp': -0.05 },
      ...{ 'contribution/number_tokens/10/self_attn': 0, 'contribution/number_tokens/10/mlp': 0.2 },
    }),
  ]);
  const view = contributionView(store)!;
  expect(view).toMatchObject({ step: 25, layers: [0, 10], mostChange: 0.4, mostPush: 0.2 });
  expect(view.rows.map(({ block }) => block)).toEqual(['self_attn', 'mlp']);
  const shares = view.rows.map(({ cells }) => cells.map(({ changeShare, pushShare }) => [changeShare, pushShare]));
  expect(shares[0]![0]![0]).toBeCloseTo(0.25, 12);
  expect(shares[0]![0]![1]).toBeCloseTo(0.05, 12);
  expect(shares[1]![0]![1]).toBeCloseTo(-0.25, 12);
  expect(shares[1]![1]).toEqual([1, 1]);
});

it('shows the measured layers and blocks, whatever their number and names', () => {
  const store = new RunStore();
  const deep = Array.from({ length: 64 }, (_, layer) => [`contribution/${layer}/mlp`, layer / 64] as const);
  store.metrics([probe(1, 0, { ...Object.fromEntries(deep), 'contribution/3/cross_attn': 0.5 })]);
  const view = contributionView(store)!;
  expect(view.layers).toHaveLength(64);
  expect(view.rows.map(({ block }) => block)).toEqual(['mlp', 'cross_attn']);
  expect(view.rows[1]!.cells[3]).toMatchObject({ change: 0.5 });
  expect(view.rows[1]!.cells[4]).toMatchObject({ change: NaN, changeShare: 0 });
});

it('shows a base model without colour, and marks a value that cannot be drawn', () => {
  const store = new RunStore();
  store.metrics([probe(1, 0, { 'contribution/0/self_attn': 0, 'contribution/0/mlp': 'NaN' })]);
  const [attention, mlp] = contributionView(store)!.rows;
  expect(attention!.cells[0]).toMatchObject({ change: 0, changeShare: 0, pushShare: 0 });
  expect(mlp!.cells[0]).toMatchObject({ change: NaN, changeShare: 0 });
});
