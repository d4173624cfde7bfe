import { describe, expect, it } from 'vitest';
import { parameterGroup, resolveSelection, type ParameterInfo, type TrainableSelection } from './parameter.js';

const names = [
  'vision_tower.embeddings.patch_embedding.weight',
  'multi_modal_projector.linear_1.weight',
  'language_model.embed_tokens.weight',
  ...[0, 1].flatMap((layer) => [
    `language_model.layers.${layer}.input_layernorm.weight`,
    ...['q', 'k', 'v', 'o'].map((p) => `language_model.layers.${layer}.self_attn.${p}_proj.weight`),
    `language_model.layers.${layer}.post_attention_layernorm.weight`,
    ...['gate', 'up', 'down'].map((p) => `language_model.layers.${layer}.mlp.${p}_proj.weight`),
  ]),
  'language_model.norm.weight',
  'lm_head.weight',
];
const parameters: ParameterInfo[] = names.map((name) => ({
  name,
  shape: [2, 3],
  size: 6,
  group: parameterGroup(name),
}));

function trainable(selection: Parameters<typeof resolveSelection>[0]): string[] {
  const resolved = resolveSelection(selection, parameters);
  if (!resolved.ok) throw new Error(resolved.reason);
  return resolved.trainable;
}

describe('parameterGroup', () => {
  it.each([
    ['language_model.layers.3.self_attn.q_proj.weight', 'language_model.layers.3.self_attn.q_proj'],
    ['language_model.layers.3.self_attn.q_proj.bias', 'language_model.layers.3.self_attn.q_proj'],
    ['language_model.layers.12.mlp.down_proj.weight', 'language_model.layers.12.mlp.down_proj'],
    ['language_model.layers.0.input_layernorm.weight', 'language_model.layers.0.norms'],
    ['language_model.layers.0.post_attention_layernorm.weight', 'language_model.layers.0.norms'],
    ['language_model.embed_tokens.weight', 'language_model.embed_tokens'],
    ['language_model.norm.weight', 'language_model.norm'],
    ['lm_head.weight', 'language_model.lm_head'],
    ['vision_tower.encoder.layers.0.self_attn.q_proj.weight', 'vision_tower'],
    ['multi_modal_projector.linear_2.bias', 'multi_modal_projector'],
  ])('%s is in %s', (name, group) => expect(parameterGroup(name)).toBe(group));
});

describe('resolveSelection', () => {
  it('full is the whole language model and leaves the vision tower and the projector frozen', () => {
    const hits = trainable({ kind: 'recipe', recipe: 'full' });
    expect(hits).toHaveLength(names.length - 2);
    expect(hits.some((name) => name.startsWith('vision') || name.startsWith('multi'))).toBe(false);
  });
  it('mlp_down and projector are what their names say', () => {
    expect(trainable({ kind: 'recipe', recipe: 'mlp_down' })).toEqual(
      [0, 1].map((layer) => `language_model.layers.${layer}.mlp.down_proj.weight`),
    );
    expect(trainable({ kind: 'recipe', recipe: 'projector' })).toEqual(['multi_modal_projector.linear_1.weight']);
  });
  it('leaves out what the method keeps fixed, and says so where nothing else was asked for', () => {
    const path = 'language_model.layers.0.mlp.up_proj';
    const adapted: ParameterInfo[] = [
      { name: `${path}.weight`, shape: [2], size: 2, group: path, fixed: true },
      { name: `${path}.lora_A.weight`, shape: [1], size: 1, group: parameterGroup(`${path}.lora_A.weight`) },
      { name: 'lm_head.weight', shape: [2], size: 2, group: 'language_model.lm_head', fixed: true },
    ];
    for (const selection of [
      { kind: 'recipe', recipe: 'full' },
      { kind: 'groups', groups: [path] },
      { kind: 'pattern', pattern: 'language_model.*' },
    ] as const)
      expect(resolveSelection(selection as TrainableSelection, adapted)).toMatchObject({
        trainable: [`${path}.lora_A.weight`],
        trainableSize: 1,
      });
    for (const selection of [
      { kind: 'groups', groups: ['language_model.lm_head'] },
      { kind: 'pattern', pattern: 'lm_head.*' },
    ] as const)
      expect(resolveSelection(selection as unknown as TrainableSelection, adapted)).toMatchObject({
        ok: false,
        reason: expect.stringMatching(/keeps .* as it is/) as string,
      });
  });
  it('sa_proj is q, k, v and o of each layer', () => {
    expect(trainable({ kind: 'recipe', recipe: 'sa_proj' })).toEqual(
      names.filter((name) => name.includes('self_attn')),
    );
  });
  it('mlp_gate_up leaves Down frozen', () => {
    const hits = trainable({ kind: 'recipe', recipe: 'mlp_gate_up' });
    expect(hits).toHaveLength(4);
    expect(hits.some((name) => name.includes('down_proj'))).toBe(false);
  });
  it('none freezes everything', () => expect(trainable({ kind: 'recipe', recipe: 'none' })).toEqual([]));

  it('takes exactly the named groups and refuses an unknown one by its name', () => {
    const group = 'language_model.layers.1.mlp.up_proj';
    expect(trainable({ kind: 'groups', groups: [group] })).toEqual([`${group}.weight`]);
    expect(resolveSelection({ kind: 'groups', groups: [group, 'nowhere'] }, parameters)).toEqual({
      ok: false,
      reason: 'This model has no parameter group "nowhere".',
    });
  });

  it('matches patterns with stars, whole names only, and several at once', () => {
    expect(trainable({ kind: 'pattern', pattern: 'language_model.layers.*.mlp.*' })).toHaveLength(6);
    expect(trainable({ kind: 'pattern', pattern: '*.0.*up_proj.weight, lm_head.*' })).toEqual([
      'language_model.layers.0.mlp.up_proj.weight',
      'lm_head.weight',
    ]);
    expect(resolveSelection({ kind: 'pattern', pattern: 'mlp' }, parameters).ok).toBe(false);
    // A dot is a dot, and a star may not reuse characters that the pieces around it have taken.
    expect(resolveSelection({ kind: 'pattern', pattern: 'lm_headXweight' }, parameters).ok).toBe(false);
    expect(resolveSelection({ kind: 'pattern', pattern: 'lm_head.weight*weight' }, parameters).ok).toBe(false);
  });

  it('refuses a pattern of which one part hits nothing, and says which', () => {
    const resolved = resolveSelection({ kind: 'pattern', pattern: 'lm_head.*, experts.*' }, parameters);
    expect(resolved).toEqual({ ok: false, reason: 'The pattern "experts.*" matches no parameter name.' });
  });

  it('counts scalars', () => {
    expect(resolveSelection({ kind: 'recipe', recipe: 'sa_proj' }, parameters)).toMatchObject({
      trainableSize: 8 * 6,
      totalSize: names.length * 6,
    });
  });
});
