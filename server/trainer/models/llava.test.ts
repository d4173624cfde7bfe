import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { ModelInfo } from '@plumbline/shared/parameter';
import { assetPath } from '../asset.js';
import { nativeIsSetUp } from '../backend/native-setup.js';
import { selectBackend } from '../backend/select-backend.js';
import type { RgbPicture } from '../data/rgb-picture.js';
import { base64Bytes, distance, loadPictureGolden, lossAndGradients, llavaGoldens } from './golden-model.js';
import { loadPictureProcessor } from './load-picture-processor.js';
import { packTiles, newline, type Size } from './layers/anyres.js';
import { packingOf } from './layers/collate-pictures.js';
import { llavaNextConfiguration } from './llava-next/configuration.js';
import { llavaOnevisionConfiguration } from './llava-onevision/configuration.js';
import { Programs } from '../runtime/program.js';
import { readBlueprint } from './registry.js';
import { uploadInputs } from './upload.js';

/*
 * Compared with transformers: fixtures/make-llava.py wrote weights, pictures with their pixels, logits, gradients and
 * greedy texts of tiny random models.
 */
/** The bytes of what the tower sees of each picture of a conversation. */
interface Seen {
  conversation: number[];
  picture: number;
  views: number;
  pixels: string;
}

// One native backend per process; WASM beside it.
const backends = nativeIsSetUp('@tensorflow/tfjs-node') ? (['tensorflow', 'wasm'] as const) : (['wasm'] as const);
const cases = backends.flatMap((backend) => llavaGoldens.map((family) => ({ backend, family })));

describe.each(cases)('$family against transformers, on $backend', ({ backend, family }) => {
  beforeAll(async () => {
    await selectBackend({ prefer: backend });
  });
  const {
    facts,
    tensors,
    blueprint,
    build,
    named,
    processor,
    prepare,
    examplesOf,
    alone,
    several,
    examples,
    prompts,
    written,
    pictureToken,
  } = loadPictureGolden<Seen>(family);

  it('names the parameters of transformers with their shapes', () => {
    expect(Object.fromEntries(blueprint.parameters.map(({ name, shape }) => [name, shape]))).toEqual(
      Object.fromEntries([...named('weight/')].map(([name, { shape }]) => [name, shape])),
    );
    const info = ModelInfo.parse(build().describe());
    expect(info.groups.some(({ part }) => part === 'other')).toBe(false);
    // Parameters without a gradient are those that nothing trains.
    const trained = info.parameters.filter(({ fixed }) => !fixed).map(({ name }) => name);
    expect(new Set(trained)).toEqual(new Set(named('gradient/').keys()));
  });

  it('shows the tower the pixels that its image processor makes', () => {
    const clip = { mean: [0.48145466, 0.4578275, 0.40821073], deviation: [0.26862954, 0.26130258, 0.27577711] };
    const siglip = { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] };
    const { mean, deviation } = family === 'llava_onevision' ? siglip : clip;
    const { image_size: side, patch_size: patch } = facts.config['vision_config'] as Record<string, number>;
    const across = Math.floor(side! / patch!);
    for (const { conversation, picture, views, pixels } of facts.seen) {
      const prepared = prepare(conversation)[conversation.indexOf(picture)]!;
      expect(prepared.grids).toEqual(Array.from({ length: views }, () => [across, across]));
      expect(prepared.rows).toBe(views * across ** 2);
      // As bytes again, in the order of the fixture: [views, channel, row, column].
      const wanted = base64Bytes(pixels);
      const [got, expected]: [number[], number[]] = [[], []];
      for (let view = 0, at = 0; view < views; view++)
        for (let row = 0; row < across ** 2; row++)
          for (let channel = 0; channel < 3; channel++)
            for (let i = 0; i < patch! ** 2; i++, at++) {
              const y = Math.floor(row / across) * patch! + Math.floor(i / patch!);
              const x = (row % across) * patch! + (i % patch!);
              got.push((prepared.patches[at]! * deviation[channel]! + mean[channel]!) * 255);
              expected.push(wanted[((view * 3 + channel) * side! + y) * side! + x]!);
            }
      expect(distance(got, expected)).toBeLessThan(1e-3);
    }
  });

  it('writes one placeholder for each visual token', () => {
    for (const { conversations, ids } of facts.cases)
      conversations.forEach((conversation, row) => {
        const placeholders = ids[row]!.filter((id) => id === pictureToken).length;
        const text = prepare(conversation).map((picture) => processor.text(picture));
        expect(text.join('')).toBe('<image>'.repeat(placeholders));
      });
  });

  it('gives the same logits of a picture at all positions, of several pictures and none at the answers', async () => {
    const model = build();
    for (const [testCase, taught] of [
      [alone, alone.ids.map((row) => row.length - 1)],
      [several, several.answers],
    ] as const) {
      const inputs = uploadInputs(model.collate(examplesOf(testCase, taught)));
      const logits = tf.tidy(() => model.logits(model.hidden(inputs)));
      const wanted = tensors.get(`logits/${testCase.name}`)!.data;
      expect(distance((await logits.data()).subarray(0, wanted.length), wanted)).toBeLessThan(1e-4);
    }
  });

  it.each([false, true])('gives the same loss and gradients of every parameter (recomputed: %s)', async (recompute) => {
    const model = build({ recompute });
    const wanted = named('gradient/');
    const { loss, gradients } = lossAndGradients(model, examples, [...wanted.keys()]);
    expect((await loss.data())[0]).toBeCloseTo(alone.loss, 4);
    expect(Object.keys(gradients)).toHaveLength(wanted.size);
    for (const [name, { shape, data }] of wanted) {
      expect(gradients[name]!.shape, name).toEqual(shape);
      // A softmax does not see what is added to all its keys: these gradients are zero but for rounding.
      const isZero = /vision_tower\..*\.k_proj\.bias$/.test(name);
      const values = await gradients[name]!.data();
      if (isZero) expect(distance(values, new Float32Array(values.length)), name).toBeLessThan(1e-5);
      else expect(distance(values, data, 1e-6), name).toBeLessThan(1e-3);
    }
    const other = lossAndGradients(
      model,
      examplesOf(several),
      ['lm_head.weight'].filter((name) => wanted.has(name)),
    );
    expect((await other.loss.data())[0]).toBeCloseTo(several.loss, 4);
  });

  it('keeps nothing of a tower that is not trained for the backward pass', () => {
    const model = build();
    const inputs = uploadInputs(model.collate(examples));
    const keptFor = (name: string): number => {
      let kept = 0;
      const { loss, gradients } = model.parameters.gradients([name], () => {
        const before = tf.memory().numBytes;
        const residual = model.hidden(inputs);
        kept = tf.memory().numBytes - before;
        return tf.sum(residual);
      });
      tf.dispose([loss, ...gradients.values()]);
      return kept;
    };
    const frozen = keptFor('model.multi_modal_projector.linear_1.weight');
    const trained = keptFor('model.vision_tower.encoder.layers.0.mlp.fc1.weight');
    const tower = model.collate(examples)['patches']!;
    const features = tower.shape[0]! * 12 * Float32Array.BYTES_PER_ELEMENT;
    expect(trained - frozen).toBeGreaterThan(10 * features);
  });

  it('has no gradient of what a batch without pictures does not reach', () => {
    const model = build();
    const text = examplesOf(several).slice(1, 2);
    const [projector, query] = ['model.multi_modal_projector.linear_1.weight', 'model.language_model.layers.0.self_attn.q_proj.weight']; // prettier-ignore
    const { gradients } = lossAndGradients(model, text, [projector!, query!]);
    expect(Object.keys(gradients)).toEqual([query]);
  });

  it.each([
    [1, false],
    [1, true],
    [2, true],
  ])('writes the same tokens, %i at a time (compiled: %s)', async (batchSize, compiled) => {
    const model = build();
    const maxNewTokens = written[0]!.length;
    const programs = new Programs();
    const options = { maxNewTokens, endIds: [], batchSize, ...(compiled && { programs }) };
    expect(await model.generate(prompts, options)).toEqual(written);
    programs.dispose();
  });

  describe('refuses', () => {
    const [, text] = examplesOf(several);
    const [whole] = examples;
    const placeholders = whole!.ids.filter((id) => id === pictureToken).length;
    it.each([
      ['fewer placeholders than visual tokens', { ids: whole!.ids.slice(0, 10), labels: whole!.labels.slice(0, 10) }, /Example 2 of the batch has 7 placeholders \(token 7\) for \d+ visual tokens of 1 pictures. Write one/], // prettier-ignore
      ['placeholders without a picture', { pictures: [] }, `has ${placeholders} placeholders (token 7) for 0 visual tokens of 0 pictures`], // prettier-ignore
      ['more pictures than placeholders', { ids: text!.ids, labels: text!.labels }, 'Example 2 of the batch has 1 pictures and 0 placeholders (token 7) for them'], // prettier-ignore
      ['a picture that was prepared otherwise', { pictures: [{ ...whole!.pictures[0]!, size: [1, 1000] as const, tokens: 3 }] }, /has a picture, number 1, that was prepared for another model: it says 3 visual tokens|too narrow/], // prettier-ignore
      ['a picture of another patch size', { pictures: [{ ...whole!.pictures[0]!, patches: new Float32Array(9) }] }, 'its patches are not of 6 x 6 pixels'], // prettier-ignore
    ])('%s', (_, changed, message) => {
      expect(() => build().collate([text!, { ...whole!, ...changed }])).toThrow(message);
    });

    it('a picture without pixels, and one that is too narrow', () => {
      const picture = (width: number, height: number): RgbPicture => ({ width, height, data: new Uint8Array(width * height * 3) }); // prettier-ignore
      expect(() => processor.prepare([picture(0, 5)])).toThrow('A picture of 0 x 5 pixels has nothing to see.');
      if (family === 'llava') return;
      expect(() => processor.prepare([picture(1, 5000)])).toThrow('A picture of 1 x 5000 pixels is too narrow');
    });

    it('settings of the image processor that do not fit the tower', () => {
      expect(() => blueprint.pictures!({ size: { shortest_edge: 336 } })).toThrow(
        'preprocessor_config.json: size is 336 x 336; the tower takes 26 x 26 pixels.',
      );
      if (family !== 'llava')
        expect(() => blueprint.pictures!({ image_grid_pinpoints: [[26, 26]] })).toThrow(
          "preprocessor_config.json: image_grid_pinpoints differs from config.json's",
        );
      expect(() => blueprint.pictures!({ resample: 5 })).toThrow(
        'preprocessor_config.json: resample is 5; known are 1',
      );
    });
  });
});

it.each([
  ['nothing', {}, (1 - 0.48145466) / 0.26862954],
  ['preprocessor_config.json', { 'preprocessor_config.json': { image_std: [1, 1, 1], image_mean: [0, 0, 0] } }, 1],
  ['processor_config.json of transformers 5', { 'processor_config.json': { image_processor: { image_std: [2, 2, 2], image_mean: [0, 0, 0] } } }, 0.5], // prettier-ignore
  ["transformers 4's two files", { 'processor_config.json': { patch_size: 6 }, 'preprocessor_config.json': { image_std: [1, 1, 1], image_mean: [0, 0, 0] } }, 1], // prettier-ignore
])('pictures are prepared by %s in the folder', async (_, files, white) => {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-processor-'));
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), JSON.stringify(content));
  const { blueprint } = loadPictureGolden('llava');
  const processor = (await loadPictureProcessor(folder, blueprint))!;
  const [prepared] = processor.prepare([{ width: 40, height: 30, data: new Uint8Array(3600).fill(255) }]);
  expect(prepared!.patches[0]).toBeCloseTo(white, 5);
  rmSync(folder, { recursive: true });
});

describe('visual tokens', () => {
  interface Entry {
    family: string;
    tile: number;
    patch: number;
    resolutions: Size[];
    most?: number;
    size: Size;
  }
  const { packings, counts } = JSON.parse(readFileSync(assetPath('models/fixtures/visual-tokens.json'), 'utf8')) as {
    packings: (Entry & { tokens: number[] })[];
    counts: (Entry & { count: number })[];
  };
  const pack = ({ tile, patch, resolutions, most, size }: Entry) =>
    packTiles(size, { tile, side: Math.floor(tile / patch), resolutions, ...(most !== undefined && { most }) });

  it.each(counts)('of the published $family for a picture of $size', ({ count, ...entry }) => {
    expect(pack(entry).tokens).toHaveLength(count);
  });

  // What config.json of the published models leaves out is their class's.
  const published = {
    llava_next: llavaNextConfiguration({ text_config: { model_type: 'mistral', vocab_size: 32_064 } }),
    llava_onevision: llavaOnevisionConfiguration({ text_config: { model_type: 'qwen2', vocab_size: 152_000 } }),
  };
  it.each(counts)('of a $family without settings of its own for a picture of $size', ({ family, size, count }) => {
    const configuration = published[family as keyof typeof published];
    expect(packingOf(configuration, size, 2).tokens).toHaveLength(count);
    // Beside other pictures, OneVision sees one whole.
    expect(packingOf(configuration, size, 1).tokens).toHaveLength(configuration.vision.side ** 2 + 1);
  });

  it('of LLaVA 1.5 are 576 for every picture', () => {
    const { pictures } = readBlueprint({
      model_type: 'llava',
      text_config: { model_type: 'llama', vocab_size: 32_064 },
    });
    const processor = pictures!({ size: { shortest_edge: 336 }, crop_size: { height: 336, width: 336 }, resample: 3 });
    for (const [height, width] of [
      [480, 640],
      [336, 336],
      [100, 50],
    ] as const)
      // prettier-ignore
      expect(processor.prepare([{ height, width, data: new Uint8Array(height * width * 3) }])).toMatchObject([
        { tokens: 576, rows: 576, grids: [[24, 24]], size: [height, width] },
      ]);
  });

  it.each(packings)('of a tiny $family for a picture of $size are the same features', ({ tokens, ...entry }) => {
    const packed = pack(entry);
    const { rows, weights } = packed.blended;
    const blend = (index: number): number =>
      [0, 1, 2, 3].reduce((sum, i) => sum + rows[index * 4 + i]! * weights[index * 4 + i]!, 0);
    const got = Array.from(packed.tokens, (token) => (token >= newline ? token : blend(-2 - token)));
    expect(distance(got, tokens)).toBeLessThan(2e-3);
  });
});
