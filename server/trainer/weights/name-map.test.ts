import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { diskName, families, isBuffer, tiedNames, treeName, type Family } from './name-map.js';

/** Names of the real classes under transformers 4 and 5; see test/golden/README.md. */
const cases = [4, 5].flatMap((version) => {
  const path = new URL(`../../../test/golden/model-names.${version}.json`, import.meta.url);
  const golden = JSON.parse(readFileSync(path, 'utf8')) as { cases: { model: string; parameters: [name: string][] }[] };
  return golden.cases.map(({ model, parameters }) => ({ version, model, names: parameters.map(([name]) => name) }));
});
const namesOf = (version: number, model: string): string[] => {
  const found = cases.find((each) => each.version === version && each.model === model);
  if (!found) throw new Error(`No case ${model}`);
  return found.names;
};
const isDisk = ({ model }: { model: string }): boolean => model.endsWith(', disk');

describe.each(families)('%s', (family) => {
  const tree = namesOf(5, family).toSorted();
  const spellings = cases.filter(({ model }) => [family, `${family}, original`, `${family}, disk`].includes(model));

  it.each(spellings)('$model of transformers $version has the names of the module tree of 5', ({ names }) => {
    expect(names.map((name) => treeName(family, name)).toSorted()).toEqual(tree);
  });

  it.each(spellings)('$model of transformers $version is written with the names of files', ({ names }) => {
    const disk = spellings.find((each) => each.version === 4 && isDisk(each))?.names ?? tree;
    expect(names.map((name) => diskName(family, name)).toSorted()).toEqual(disk.toSorted());
  });

  it('has a head and an embedding in its tree', () => {
    const { head, embedding } = tiedNames(family);
    expect(tree).toContain(head);
    expect(tree).toContain(embedding);
  });
});

it('keeps the spelling of each name, not only of the set', () => {
  const pairs: [Family, string, string, string][] = [
    [
      'llama',
      'model.layers.3.mlp.up_proj.weight',
      'model.layers.3.mlp.up_proj.weight',
      'model.layers.3.mlp.up_proj.weight',
    ],
    [
      'llava',
      'model.mm_projector.2.bias',
      'model.multi_modal_projector.linear_2.bias',
      'multi_modal_projector.linear_2.bias',
    ],
    ['llava', 'language_model.lm_head.weight', 'lm_head.weight', 'language_model.lm_head.weight'],
    [
      'llava',
      'vision_tower.encoder.layers.1.mlp.fc1.bias',
      'model.vision_tower.encoder.layers.1.mlp.fc1.bias',
      'vision_tower.vision_model.encoder.layers.1.mlp.fc1.bias',
    ],
    [
      'llava',
      'model.vision_tower.vision_tower.vision_model.pre_layrnorm.weight',
      'model.vision_tower.pre_layrnorm.weight',
      'vision_tower.vision_model.pre_layrnorm.weight',
    ],
    ['llava_next', 'image_newline', 'model.image_newline', 'image_newline'],
    [
      'qwen2_5_vl',
      'model.layers.0.self_attn.q_proj.bias',
      'model.language_model.layers.0.self_attn.q_proj.bias',
      'model.layers.0.self_attn.q_proj.bias',
    ],
    ['qwen2_5_vl', 'visual.merger.mlp.0.weight', 'model.visual.merger.mlp.0.weight', 'visual.merger.mlp.0.weight'],
    [
      'qwen2_5_vl',
      'visual.blocks.2.attn.qkv.weight',
      'model.visual.blocks.2.attn.qkv.weight',
      'visual.blocks.2.attn.qkv.weight',
    ],
    [
      'smolvlm',
      'model.connector.modality_projection.proj.weight',
      'model.connector.modality_projection.proj.weight',
      'model.connector.modality_projection.proj.weight',
    ],
  ];
  for (const [family, name, tree, disk] of pairs)
    expect([name, treeName(family, name), diskName(family, name)]).toEqual([name, tree, disk]);
});

it('has no name for what a family lacks, adapters and names that it does not know', () => {
  expect(treeName('llama', 'vision_tower.vision_model.embeddings.class_embedding')).toBeNull();
  expect(treeName('qwen2', 'image_newline')).toBeNull();
  expect(treeName('llama', 'base_model.model.model.layers.0.mlp.up_proj.lora_A.weight')).toBeNull();
  expect(treeName('llama', 'transformer.h.0.attn.weight')).toBeNull();
});

it.each([
  ['model.layers.0.self_attn.rotary_emb.inv_freq', true],
  ['vision_tower.vision_model.embeddings.position_ids', true],
  ['vision_tower.vision_model.embeddings.position_embedding.weight', false],
])('%s is a buffer: %s', (name, is) => expect(isBuffer(name)).toBe(is));
