import { describe, expect, it } from 'vitest';
import { ModelInfo } from '@plumbline/shared/parameter';
import { resolveSelection } from '@plumbline/shared/selection';
import { llava15, mixture, qwen25Vl7b } from '../../../test/support/real-models.js';
import { describeModel, roleOf } from './parameter-roles.js';

const trainable = (model: ModelInfo, recipe: string): string[] => {
  const resolved = resolveSelection({ kind: 'recipe', recipe }, model);
  if (!resolved.ok) throw new Error(resolved.reason);
  return resolved.trainable;
};
const counts = (model: ModelInfo): Record<string, number> =>
  Object.fromEntries(model.recipes.map(({ name }) => [name, trainable(model, name).length]));
const sized = (names: readonly string[]) => names.map((name) => ({ name, shape: [1], size: 1 }));

// Counts of the real classes: `realSizes` in test/golden/model-names.*.json.
const llavaCounts = {
  ...{ full: 291, everything: 686, sa_proj: 128, sa_qkv: 96, mlp: 96, mlp_gate_up: 64, mlp_down: 32 },
  ...{ projector: 4, vision: 391, none: 0 },
};

describe('models by their real names', () => {
  it.each([false, true])(
    'LLaVA-1.5: `full` is the language model, `sa_proj` 128 tensors of it (before 4.52: %s)',
    (before) => {
      const model = describeModel('llava', llava15(before));
      expect(counts(model)).toEqual(llavaCounts);
      expect(trainable(model, 'sa_proj').filter((name) => /vision|tower/.test(name))).toEqual([]);
      expect(trainable(model, 'full').some((name) => /vision_tower|projector/.test(name))).toBe(false);
    },
  );
  it('has the same groups for all spellings', () => {
    const [now, before] = [false, true].map((old) => describeModel('llava', llava15(old)).groups);
    expect(now).toEqual(before);
  });
  it('Qwen2.5-VL: the vision tower’s MLP and attention are not the language model’s', () => {
    const model = describeModel('qwen', qwen25Vl7b());
    expect(counts(model)).toEqual({
      ...{ full: 339, everything: 729, sa_proj: 196, sa_qkv: 168, mlp: 84, mlp_gate_up: 56, mlp_down: 28 },
      ...{ projector: 5, vision: 385, none: 0 },
    });
  });
});

describe('roleOf', () => {
  it.each([
    ['foo.bar.weight', 'foo.bar', { part: 'other' }],
    ['', 'unnamed', { part: 'other' }],
    ['ein Name/mit: allem', 'ein_Name_mit__allem', { part: 'other' }],
    [`${'deep.'.repeat(58)}weight`, `${'deep.'.repeat(58)}`.slice(-191, -1), { part: 'other' }],
    // CLIP's own text model, which does not count as a language model.
    ['text_model.encoder.layers.0.self_attn.q_proj.weight', undefined, { part: 'other' }],
    ['model.language_model.layers.3', undefined, { part: 'other' }],
    ['model.layers.0.mlp.shared_expert_gate.weight', 'language_model.layers.0.mlp.shared_expert_gate', undefined],
    ['language_model.layers.0.mlp.router.weight', 'language_model.layers.0.mlp.router', undefined],
    ['model.layers.0.mlp.gate_proj.weight', 'language_model.layers.0.mlp.gate_proj', undefined],
  ])('%s', (name, group, role) => {
    const described = roleOf(name);
    if (group !== undefined) expect(described.group).toBe(group);
    if (role !== undefined) expect(described.role).toEqual(role);
    expect(ModelInfo.safeParse(describeModel('m', name === '' ? [] : sized([name]))).success).toBe(true);
  });
});

describe('describeModel', () => {
  it('freezes tied embeddings together, if both are listed', () => {
    const names = ['model.embed_tokens.weight', 'model.layers.0.mlp.up_proj.weight', 'lm_head.weight'];
    const tied = describeModel('m', sized(names), { tiedHead: true });
    expect(tied.parameters.map(({ group }) => group)).toEqual([
      'language_model.embed_tokens',
      'language_model.layers.0.mlp.up_proj',
      'language_model.embed_tokens',
    ]);
    expect(describeModel('m', sized(names)).groups).toHaveLength(3);
  });
  it('makes the vision tower one group on request', () => {
    const model = describeModel('llava', llava15(), { wholeVision: true });
    expect(model.groups.filter(({ part }) => part === 'vision')).toEqual([{ name: 'vision_tower', part: 'vision' }]);
    expect(counts(model)).toEqual(llavaCounts);
  });
  it('leaves out recipes that select nothing, except `none`', () => {
    const model = describeModel('m', sized(['model.embed_tokens.weight', 'lm_head.weight']));
    expect(model.recipes.map(({ name }) => name)).toEqual(['full', 'everything', 'none']);
  });
  it.each([
    [48, 128, 18_867],
    [127, 128, 49_914],
  ])('describes a mixture of %i layers with %i experts', (layers, experts, tensors) => {
    const model = describeModel('moe', mixture(layers, experts));
    expect(model.parameters).toHaveLength(tensors);
    expect(ModelInfo.parse(model)).toEqual(model);
    expect(counts(model)).toMatchObject({
      mlp_gate_up: layers * experts * 2,
      mlp_down: layers * experts,
      sa_proj: layers * 4,
    });
    expect(trainable(model, 'mlp')).toHaveLength(layers * (experts * 3 + 1));
    expect(model.groups.filter(({ expert }) => expert === 127)).toHaveLength(3 * layers);
  });
});
