import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { resolveSelection } from '@plumbline/shared/selection';
import { describeModel } from '../../server/trainer/models/parameter-roles.js';

type Row = [
  name: string,
  group: string,
  part: string,
  layer: number | null,
  block: string | null,
  projection: string | null,
  expert: number | null,
];
interface Golden {
  cases: { model: string; parameters: Row[]; recipes: Record<string, number[]> }[];
}

describe.each([4, 5])('models of transformers %i', (version) => {
  const path = new URL(`model-names.${version}.json`, import.meta.url);
  const { cases } = JSON.parse(readFileSync(path, 'utf8')) as Golden;

  it.each(cases)('$model', ({ model: name, parameters, recipes }) => {
    const model = describeModel(
      name,
      parameters.map(([name]) => ({ name, shape: [1], size: 1 })),
    );
    const roles = new Map(model.groups.map((group) => [group.name, group]));
    const described = model.parameters.map(({ name, group }) => {
      const { part, layer, block, projection, expert } = roles.get(group)!;
      return [name, group, part, layer ?? null, block ?? null, projection ?? null, expert ?? null];
    });
    expect(described).toEqual(parameters);
    const expected = Object.entries(recipes).map(([recipe, hit]) => [recipe, hit.map((at) => parameters[at]![0])]);
    const found = model.recipes.map(({ name: recipe }) => {
      const resolved = resolveSelection({ kind: 'recipe', recipe }, model);
      return [recipe, resolved.ok && resolved.trainable];
    });
    expect(found).toEqual([...expected, ['none', []]]);
  });
});
