import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { exportModel } from './export-model.js';
import { ModelWeights } from './model-weights.js';
import type { Family } from './name-map.js';
import { headerBytes } from './safetensors-header.js';
import { WeightFiles } from './weight-files.js';
import { writeWeights, type TensorSource } from './write-weights.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-model-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const source = (name: string, shape: number[], value = 0): TensorSource => ({
  name,
  shape,
  read: () => new Float32Array(shape.reduce((product, length) => product * length, 1)).fill(value),
});
const open = async (
  family: Family,
  wanted: Record<string, number[]>,
  options?: { tiedHead: boolean },
): Promise<ModelWeights> => {
  const weights = await ModelWeights.open(folder, family, new Map(Object.entries(wanted)), options);
  onTestFinished(() => weights.close());
  return weights;
};
const embedding = 'model.embed_tokens.weight';

it('reads by the names of the module tree, whatever the spelling on disk', async () => {
  await writeWeights(folder, [
    source('model.mm_projector.0.weight', [1], 1),
    source('model.vision_tower.vision_tower.vision_model.pre_layrnorm.weight', [2], 2),
    source('model.layers.0.self_attn.rotary_emb.inv_freq', [3]),
    source('lm_head.weight', [1, 1], 4),
  ]);
  const weights = await open('llava', {
    'lm_head.weight': [1, 1],
    'model.multi_modal_projector.linear_1.weight': [1],
    'model.vision_tower.pre_layrnorm.weight': [2],
  });
  expect(await weights.read('model.multi_modal_projector.linear_1.weight')).toEqual(Float32Array.of(1));
  expect(await weights.read('model.vision_tower.pre_layrnorm.weight', { from: 1, to: 2 })).toEqual(Float32Array.of(2));
  expect(weights.bytesRead).toBe(8);
});

describe('what does not fit is named, with its number', () => {
  const layer = (at: number): string => `model.layers.${at}.mlp.up_proj.weight`;
  it.each<[string, TensorSource[], Record<string, number[]>, string]>([
    [
      'missing',
      [source(embedding, [4, 2])],
      { [embedding]: [4, 2], [layer(0)]: [3, 2], [layer(1)]: [3, 2] },
      `2 tensors are missing (${layer(0)}, ${layer(1)}). Download`,
    ],
    [
      'too many',
      [0, 1, 2, 3, 4, 5].map((at) => source(layer(at), [1])),
      { [layer(0)]: [1] },
      `5 tensors are not of this model (${[1, 2, 3, 4].map(layer).join(', ')}, ...). Download`,
    ],
    [
      'of another shape, and of no known name',
      [source(embedding, [4, 2]), source('score.weight', [1])],
      { [embedding]: [8, 2] },
      `1 tensor is not of this model (score.weight); 1 tensor has another shape (${embedding} [4, 2] instead of [8, 2]).`,
    ],
  ])('%s', async (_, stored, wanted, message) => {
    await writeWeights(folder, stored);
    const refused = open('llama', wanted);
    await expect(refused).rejects.toThrow(`The weights in ${folder} do not fit its config.json: ${message}`);
    await expect(refused).rejects.toMatchObject({ name: 'DamagedFileError' });
  });

  it('a type that no weight has', async () => {
    const header = headerBytes([{ name: embedding, dtype: 'I8', shape: [4, 2], bytes: 8 }], {});
    writeFileSync(join(folder, 'model.safetensors'), Buffer.concat([header, new Uint8Array(8)]));
    await expect(open('llama', { [embedding]: [4, 2] })).rejects.toThrow(
      /model\.embed_tokens\.weight in .*model\.safetensors has type I8; weights are F32, F16, BF16/,
    );
  });

  it('a tensor in two spellings', async () => {
    await writeWeights(folder, [source('model.layers.0.x', [1]), source('language_model.model.layers.0.x', [1])]);
    await expect(open('llava', {})).rejects.toThrow(/twice, as model\.layers\.0\.x and as language_model/);
  });
});

describe('a tied head', () => {
  const wanted = { [embedding]: [3, 2] };
  it('may be absent', async () => {
    await writeWeights(folder, [source(embedding, [3, 2], 5)]);
    expect(await (await open('llama', wanted, { tiedHead: true })).read(embedding)).toHaveLength(6);
  });
  it('may be stored if it is equal', async () => {
    await writeWeights(folder, [source(embedding, [3, 2], 5), source('lm_head.weight', [3, 2], 5)]);
    await open('llama', wanted, { tiedHead: true });
  });
  it('may be stored instead of the embedding', async () => {
    await writeWeights(folder, [source('language_model.lm_head.weight', [3, 2], 5)]);
    const weights = await open('llava', { 'model.language_model.embed_tokens.weight': [3, 2] }, { tiedHead: true });
    expect(await weights.read('model.language_model.embed_tokens.weight')).toEqual(new Float32Array(6).fill(5));
  });
  it.each([
    [[3, 2], 6],
    [[4, 2], 5],
  ])('is refused if it differs: %j of %i', async (shape, value) => {
    await writeWeights(folder, [source(embedding, [3, 2], 5), source('lm_head.weight', shape, value)]);
    await expect(open('llama', wanted, { tiedHead: true })).rejects.toThrow(
      /lm_head\.weight and model\.embed_tokens\.weight, and they differ.*"tie_word_embeddings" in config\.json is false/,
    );
  });
  it('is missing if the configuration unties it', async () => {
    await writeWeights(folder, [source(embedding, [3, 2])]);
    await expect(open('llama', { ...wanted, 'lm_head.weight': [3, 2] })).rejects.toThrow(
      '1 tensor is missing (lm_head.weight)',
    );
  });
});

describe('exportModel', () => {
  const tensors = [source('model.language_model.norm.weight', [2], 3), source('lm_head.weight', [1, 2], 4)];
  // `transformers` 5 wants 1.0 to stay a float.
  const config = '{"torch_dtype": "float16", "text_config": {"dtype" : "float16", "initializer_factor": 1.0}}';
  const exported = async (options = {}): Promise<string> => {
    const base = join(folder, 'base');
    mkdirSync(base);
    for (const name of ['tokenizer.json', 'model.safetensors', 'pytorch_model.bin', 'chat_template.jinja', 'LICENSE'])
      writeFileSync(join(base, name), name);
    writeFileSync(join(base, 'config.json'), config);
    await exportModel(join(folder, 'out'), { family: 'llava', tensors, base }, options);
    return join(folder, 'out');
  };

  it('writes the names of files, the configuration and what stands beside the weights', async () => {
    const out = await exported();
    const names = ['LICENSE', 'chat_template.jinja', 'config.json', 'model.safetensors', 'tokenizer.json'];
    expect(readdirSync(out).sort()).toEqual(names);
    expect(readFileSync(join(out, 'config.json'), 'utf8')).toBe(config.replaceAll('float16', 'float32'));
    const files = await WeightFiles.open(out);
    onTestFinished(() => files.close());
    expect([...files.tensors.keys()]).toEqual(['language_model.model.norm.weight', 'language_model.lm_head.weight']);
    expect(await files.read('language_model.lm_head.weight')).toEqual(Float32Array.of(4, 4));
  });

  it('says BF16 in the configuration, and keeps an earlier export', async () => {
    const out = await exported({ format: 'BF16' });
    expect(readFileSync(join(out, 'config.json'), 'utf8')).toContain('"torch_dtype": "bfloat16"');
    const again = exportModel(out, { family: 'llava', tensors, base: join(folder, 'base') });
    await expect(again).rejects.toThrow(`${out} has files already. Name a new folder.`);
    expect(readFileSync(join(out, 'config.json'), 'utf8')).toContain('bfloat16');
  });
});
