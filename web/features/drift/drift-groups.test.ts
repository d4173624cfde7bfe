import { describe, expect, it } from 'vitest';
import { describeModel } from '../../../server/trainer/models/parameter-roles';
import { llava15, mixture, qwen25Vl7b } from '../../../test/support/real-models';
import { RunStore } from '../../lib/run-store';
import { driftKinds, driftSeries } from './drift-groups';

const probe = (seq: number, step: number, metrics: Record<string, number | 'NaN'>) =>
  ({ type: 'probe_completed', seq, step, stage: 0, wallTimeMs: 0, metrics }) as const;

describe('driftKinds', () => {
  it('has a colour a projection of the language model, one for the vision tower, and grey for the rest', () => {
    for (const [list, layers] of [
      [qwen25Vl7b(), 28],
      [llava15(), 32],
    ] as const) {
      const { kinds, lines } = driftKinds(describeModel('m', list));
      expect(kinds.map(({ label }) => label)).toEqual([
        ...['q', 'k', 'v', 'o', 'gate', 'up', 'down', 'vision', 'other groups'],
      ]);
      expect(new Set(kinds.map(({ color }) => color)).size).toBe(kinds.length);
      expect(lines.filter(({ kind }) => kind.label === 'q')).toHaveLength(layers);
    }
  });
  it('has one line for the experts of a layer, and spends no colours on routers and norms', () => {
    const { kinds, lines } = driftKinds(describeModel('moe', mixture(48, 128)));
    expect(kinds.map(({ label }) => label)).toEqual([
      ...['q', 'k', 'v', 'o', 'experts’ gate', 'experts’ up', 'experts’ down', 'other groups'],
    ]);
    expect(lines.length).toBe(48 * 11 + 3);
    expect(lines.find(({ groups }) => groups.length > 1)).toMatchObject({ label: 'layer 0 MLP experts’ gate' });
  });
});

describe('driftSeries', () => {
  const kinds = driftKinds(describeModel('moe', mixture(1, 2)));
  const of = (store: RunStore) =>
    driftSeries(store, kinds)
      .filter(({ id }) => id.includes('experts'))
      .map(({ label, columns }) => [label, [...columns.steps], [...columns.values]]);
  const up = (expert: number): string => `drift/language_model.layers.0.mlp.experts.${expert}.up_proj`;

  it('shows the expert of a layer that moved most, and follows it', () => {
    const store = new RunStore();
    expect(of(store)).toEqual([]);
    store.metrics([probe(1, 0, { [up(0)]: 0, [up(1)]: 0 }), probe(2, 5, { [up(0)]: 0.25, [up(1)]: 0.5 })]);
    expect(of(store)).toEqual([['layer 0 MLP experts’ up', [0, 5], [0, 0.5]]]);
    store.metrics([probe(3, 10, { [up(0)]: 0.75, [up(1)]: 'NaN' })]);
    expect(of(store)).toEqual([['layer 0 MLP experts’ up', [0, 5, 10], [0, 0.5, 0.75]]]);
  });
});
