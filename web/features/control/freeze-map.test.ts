import { describe, expect, it } from 'vitest';
import { parameterGroup, type ParameterInfo } from '@plumbline/shared/parameter';
import {
  amountWords,
  diffTraining,
  layOut,
  paintGroups,
  previewPattern,
  recipeOf,
  trainingByGroup,
} from './freeze-map';

const parameters: ParameterInfo[] = [
  'vision_tower.layers.0.self_attn.q_proj.weight',
  'multi_modal_projector.linear_1.weight',
  'language_model.embed_tokens.weight',
  ...[0, 1].flatMap((layer) => [
    ...['q', 'k', 'v', 'o'].map((name) => `language_model.layers.${layer}.self_attn.${name}_proj.weight`),
    ...['gate', 'up', 'down'].map((name) => `language_model.layers.${layer}.mlp.${name}_proj.weight`),
    `language_model.layers.${layer}.input_layernorm.weight`,
    `language_model.layers.${layer}.post_attention_layernorm.weight`,
  ]),
  'language_model.norm.weight',
  'lm_head.weight',
].map((name) => ({ name, shape: [4, 4], size: 16, group: parameterGroup(name) }));
const q0 = 'language_model.layers.0.self_attn.q_proj';

describe('layOut', () => {
  it('has layers by projections and everything else beside them, no group twice', () => {
    const { columns, layers, others } = layOut(parameters);
    expect(columns.map(({ label }) => label)).toEqual(['q', 'k', 'v', 'o', 'gate', 'up', 'down', 'norms']);
    expect(layers.map(({ layer }) => layer)).toEqual([0, 1]);
    expect(layers[0]!.cells[0]).toEqual({ group: q0, label: 'q', size: 16 });
    expect(layers[1]!.cells[7]!.size).toBe(32);
    expect(others.map(({ label }) => label)).toEqual([
      'vision_tower',
      'multi_modal_projector',
      'embed_tokens',
      'norm',
      'lm_head',
    ]);
    const shown = [...layers.flatMap(({ cells }) => cells), ...others].flatMap((cell) => cell?.group ?? []);
    expect(new Set(shown)).toEqual(new Set(parameters.map(({ group }) => group)));
    expect(shown.length).toBe(new Set(shown).size);
  });
});

describe('what a method adds', () => {
  const infos = (names: readonly string[], fixed: (name: string) => boolean): ParameterInfo[] =>
    names.map((name) => ({ name, shape: [4, 4], size: 16, group: parameterGroup(name), fixed: fixed(name) }));

  it('shows a projection with adapters by them, and locks what has none', () => {
    const [adapted, head] = [q0, 'lm_head'];
    const model = infos([`${q0}.weight`, `${q0}.lora_A.weight`, `${q0}.lora_B.weight`, 'lm_head.weight'], (name) => {
      return !name.includes('.lora_');
    });
    expect(layOut(model).layers[0]!.cells[0]).toMatchObject({ group: adapted, size: 32 });
    const training = trainingByGroup(model, [`${q0}.lora_A.weight`, `${q0}.lora_B.weight`]);
    expect([...training]).toEqual([
      [adapted, 'trainable'],
      [`language_model.${head}`, 'fixed'],
    ]);
    expect(trainingByGroup(model, []).get(adapted)).toBe('frozen');
    expect(trainingByGroup(model, [`${q0}.lora_A.weight`]).get(adapted)).toBe('partly');
    expect(paintGroups(training, new Set([`language_model.${head}`]), true)).toEqual({
      kind: 'groups',
      groups: [adapted],
    });
  });

  it('has a row for each expert below its layer, and a column for the routers', () => {
    const mlp = (layer: number): string => `language_model.layers.${layer}.mlp`;
    const model = infos(
      [0, 1].flatMap((layer) => [
        `${mlp(layer)}.up_proj.weight`,
        ...[0, 1].map((expert) => `${mlp(layer)}.experts.${expert}.up_proj.weight`),
        `${mlp(layer)}.router.weight`,
      ]),
      (name) => /mlp\.up_proj/.test(name),
    );
    const { columns, layers, others } = layOut(model);
    expect(columns.at(-1)!.label).toBe('router');
    expect(layers.map(({ layer, label }) => [layer, label])).toEqual([
      ...[0, 1].flatMap((layer) => [
        [layer, String(layer)],
        [layer, '+1'],
        [layer, '+2'],
      ]),
    ]);
    expect(layers[0]!.cells.at(-1)!.group).toBe(`${mlp(0)}.router`);
    expect(layers[2]!.cells[5]!.group).toBe(`${mlp(0)}.experts.1.up_proj`);
    expect(others).toEqual([]);
  });
});

describe('choosing', () => {
  const nothing = trainingByGroup(parameters, []);

  it('knows a group of which only a part trains', () => {
    const training = trainingByGroup(parameters, ['language_model.layers.0.input_layernorm.weight', `${q0}.weight`]);
    expect(training.get('language_model.layers.0.norms')).toBe('partly');
    expect(training.get(q0)).toBe('trainable');
    expect(training.get('lm_head')).toBeUndefined();
    expect(training.get('language_model.lm_head')).toBe('frozen');
  });
  it('adds and removes painted groups and leaves the others as they are', () => {
    const first = paintGroups(nothing, new Set([q0, 'vision_tower']), true);
    expect(first).toEqual({ kind: 'groups', groups: ['vision_tower', q0] });
    const training = trainingByGroup(parameters, [`${q0}.weight`]);
    expect(paintGroups(training, new Set([q0]), false)).toEqual({ kind: 'groups', groups: [] });
  });
  it('counts what would change', () => {
    const before = trainingByGroup(parameters, [`${q0}.weight`]);
    const after = trainingByGroup(parameters, ['language_model.norm.weight', 'lm_head.weight']);
    expect(diffTraining(before, after)).toEqual({
      changed: [q0, 'language_model.norm', 'language_model.lm_head'],
      nowTrainable: 2,
      nowFrozen: 1,
    });
    expect(diffTraining(before, before).changed).toEqual([]);
  });
});

describe('previewPattern', () => {
  it('lists what a pattern hits, with its size', () => {
    const preview = previewPattern('*.mlp.*, lm_head.weight', parameters);
    expect(preview).toMatchObject({ ok: true, size: 7 * 16 });
    expect(preview.ok && preview.names.at(-1)).toBe('lm_head.weight');
  });
  it('says which part hits nothing', () => {
    expect(previewPattern('*.mlp.*, nowhere', parameters)).toEqual({
      ok: false,
      reason: 'The pattern "nowhere" matches no parameter name.',
    });
    expect(previewPattern(' ', parameters).ok).toBe(false);
  });
});

it('suggests stars where they are what is missing', () => {
  const reasonOf = (pattern: string): string => {
    const preview = previewPattern(pattern, parameters);
    return preview.ok ? '' : preview.reason;
  };
  expect(reasonOf('up_proj')).toBe('The pattern "up_proj" matches no parameter name: try *up_proj*');
  expect(reasonOf('lm_head.weight, layers.0.mlp')).toMatch(/try lm_head\.weight, \*layers\.0\.mlp\*$/);
  expect(reasonOf('up_proj, nowhere')).not.toMatch(/try/);
});

describe('recipeOf', () => {
  const attention = parameters.filter(({ group }) => /language_model.*self_attn/.test(group)).map(({ name }) => name);
  it('knows a recipe by what it trains, however it was chosen', () => {
    expect(recipeOf(attention, { kind: 'groups', groups: [] }, parameters)).toBe('sa_proj');
    expect(recipeOf(attention.slice(1), undefined, parameters)).toBeUndefined();
    expect(recipeOf([], undefined, parameters)).toBe('none');
  });
});

it('words amounts in one way', () => {
  expect(amountWords({ tensors: 1, size: 16 })).toBe('1 tensor, 16 parameters');
  expect(amountWords({ tensors: 40, size: 466_000 }, { tensors: 67, size: 678_000 })).toBe(
    '40 of 67 tensors, 466k of 678k parameters',
  );
});
