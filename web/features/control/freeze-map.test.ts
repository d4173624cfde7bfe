import { describe, expect, it } from 'vitest';
import { describeModel } from '../../../server/trainer/models/parameter-roles';
import { mixture, qwen25Vl7b } from '../../../test/support/real-models';
import {
  amountWords,
  diffTraining,
  paintGroups,
  previewPattern,
  recipeOf,
  resolveRecipes,
  trainingByGroup,
  trainingOf,
} from './freeze-map';

const model = describeModel(
  'm',
  [
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
  ].map((name) => ({ name, shape: [4, 4], size: 16 })),
);
const { parameters } = model;
const q0 = 'language_model.layers.0.self_attn.q_proj';

describe('choosing', () => {
  const nothing = trainingByGroup(parameters, []);

  it('knows a group that trains in part', () => {
    const training = trainingByGroup(parameters, ['language_model.layers.0.input_layernorm.weight', `${q0}.weight`]);
    expect(training.get('language_model.layers.0.norms')).toBe('partly');
    expect(training.get(q0)).toBe('trainable');
    expect(training.get('language_model.lm_head')).toBe('frozen');
  });
  it('judges a projection with adapters by them, and one without as fixed', () => {
    const adapted = describeModel(
      'm',
      [`${q0}.weight`, `${q0}.lora_A.weight`, `${q0}.lora_B.weight`, 'lm_head.weight'].map((name) => ({
        ...{ name, shape: [4, 4], size: 16, fixed: !name.includes('.lora_') },
      })),
    ).parameters;
    const training = trainingByGroup(adapted, [`${q0}.lora_A.weight`, `${q0}.lora_B.weight`]);
    expect([...training]).toEqual([
      [q0, 'trainable'],
      ['language_model.lm_head', 'fixed'],
    ]);
    expect(trainingByGroup(adapted, []).get(q0)).toBe('frozen');
    expect(trainingByGroup(adapted, [`${q0}.lora_A.weight`]).get(q0)).toBe('partly');
    expect(paintGroups(training, new Set(['language_model.lm_head']), true)).toEqual({ kind: 'groups', groups: [q0] });
  });
  it('combines several groups in one cell', () => {
    const training = new Map([
      ['a', 'trainable'],
      ['b', 'frozen'],
      ['c', 'fixed'],
    ] as const);
    expect(trainingOf(['a', 'c'], training)).toBe('trainable');
    expect(trainingOf(['a', 'b'], training)).toBe('partly');
    expect(trainingOf(['c'], training)).toBe('fixed');
  });
  it('sets the painted groups and keeps the others as they were', () => {
    const painted = paintGroups(nothing, new Set([q0]), true);
    expect(painted).toEqual({ kind: 'groups', groups: [q0] });
    const both = paintGroups(trainingByGroup(parameters, [`${q0}.weight`]), new Set(['language_model.norm']), true);
    expect(both).toEqual({ kind: 'groups', groups: [q0, 'language_model.norm'] });
  });
  it('counts what applying a draft would change', () => {
    const before = trainingByGroup(parameters, [`${q0}.weight`]);
    const after = trainingByGroup(parameters, ['language_model.norm.weight', 'lm_head.weight']);
    expect(diffTraining(before, after)).toEqual({
      changed: new Set([q0, 'language_model.norm', 'language_model.lm_head']),
      nowTrainable: 2,
      nowFrozen: 1,
    });
  });
});

describe('a name pattern', () => {
  it('previews which parameters it hits', () => {
    const preview = previewPattern('*.mlp.*, lm_head.weight', model);
    expect(preview.ok && preview.names).toHaveLength(7);
    expect(preview.ok && preview.names.at(-1)).toBe('lm_head.weight');
  });
  it('names the part, so that a bare pattern’s hits in the vision tower are visible', () => {
    const preview = previewPattern('*.mlp.*', describeModel('qwen', qwen25Vl7b()));
    // Its merger has an MLP too.
    expect(preview.ok && preview.byPart.map(({ part, tensors }) => [part, tensors])).toEqual([
      ['language', 28 * 3],
      ['vision', 32 * 6],
      ['projector', 4],
    ]);
  });
  it('says what is wrong, and suggests a pattern that hits', () => {
    const reasonOf = (pattern: string): string => {
      const preview = previewPattern(pattern, model);
      return preview.ok ? '' : preview.reason;
    };
    expect(reasonOf('')).toMatch(/Type names/);
    expect(reasonOf('x'.repeat(201))).toMatch(/At most 200/);
    expect(reasonOf('mlp.up_proj')).toMatch(/matches no parameter name: try \*mlp\.up_proj\*$/);
    expect(reasonOf('lm_head.weight, layers.0.mlp')).toMatch(/try lm_head\.weight, \*layers\.0\.mlp\*$/);
    expect(reasonOf('nothing like it')).toMatch(/matches no parameter name\.$/);
  });
});

describe('recipes', () => {
  const recipes = resolveRecipes(model);
  const attention = parameters.filter(({ group }) => /language_model.*self_attn/.test(group)).map(({ name }) => name);

  it('are recognised by what they train, however it was chosen', () => {
    expect(recipeOf(attention, { kind: 'groups', groups: [] }, recipes)).toBe('sa_proj');
    expect(recipeOf(attention.slice(1), undefined, recipes)).toBeUndefined();
    expect(recipeOf(attention, { kind: 'recipe', recipe: 'full' }, recipes)).toBe('full');
  });
  it('of a mixture of experts hit the groups they name', () => {
    const hits = Object.fromEntries(
      resolveRecipes(describeModel('moe', mixture(2, 4))).map(({ name, trainable }) => [name, trainable?.length]),
    );
    expect(hits).toMatchObject({ sa_proj: 8, mlp: 2 * (4 * 3 + 1), mlp_down: 8, none: 0 });
  });
  it('that hit nothing trainable are disabled', () => {
    const kept = { ...model, parameters: parameters.map((parameter) => ({ ...parameter, fixed: true })) };
    expect(resolveRecipes(kept).find(({ name }) => name === 'sa_proj')!.trainable).toBeNull();
  });
});

it('says how much trains, and of how much', () => {
  expect(amountWords({ tensors: 1, size: 16 })).toBe('1 tensor, 16 parameters');
  expect(amountWords({ tensors: 2, size: 32 }, { tensors: 4, size: 64 })).toBe('2 of 4 tensors, 32 of 64 parameters');
});
