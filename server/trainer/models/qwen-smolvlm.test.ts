import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { ModelInfo } from '@plumbline/shared/parameter';
import { assetPath } from '../asset.js';
import { nativeIsSetUp } from '../backend/native-setup.js';
import { selectBackend } from '../backend/select-backend.js';
import type { RgbPicture } from '../data/rgb-picture.js';
import { Programs } from '../runtime/program.js';
import { ConfigurationError } from './blueprint.js';
import { distance, loadPictureGolden, lossAndGradients, qwenSmolvlmGoldens } from './golden-model.js';
import type { Size } from './layers/anyres.js';
import type { Example, PreparedPicture } from './model.js';
import { patchPositions, smartResize, textPositions, windowsOf } from './qwen2-5-vl/grid.js';
import { readBlueprint } from './registry.js';
import { fitLongest, fitTiles, positionBuckets } from './smolvlm/tiles.js';
import { uploadInputs } from './upload.js';

/*
 * Compared with transformers: fixtures/make-qwen-smolvlm.py wrote weights, pictures with their values, logits, gradients
 * and greedy texts of tiny random models, and what transformers makes of pictures of many sizes.
 */
interface Seen {
  tokens: number;
  grid?: [number, number];
  text?: string;
}

/** Values of tiles [tiles, 3, side, side] as patches row by row. */
function asPatches({ data, shape }: { data: Float32Array; shape: number[] }, patch: number): number[] {
  const [, tiles, , side] = shape as [number, number, number, number, number];
  const across = side / patch;
  const values: number[] = [];
  for (let tile = 0; tile < tiles; tile++)
    for (let row = 0; row < across ** 2; row++)
      for (let channel = 0; channel < 3; channel++)
        for (let i = 0; i < patch ** 2; i++) {
          const y = Math.floor(row / across) * patch + Math.floor(i / patch);
          values.push(data[((tile * 3 + channel) * side + y) * side + (row % across) * patch + (i % patch)]!);
        }
  return values;
}

// One native backend per process; WASM beside it.
const backends = nativeIsSetUp('@tensorflow/tfjs-node') ? (['tensorflow', 'wasm'] as const) : (['wasm'] as const);
const cases = backends.flatMap((backend) => qwenSmolvlmGoldens.map((family) => ({ backend, family })));
const isQwen = (family: string): boolean => family === 'qwen2_5_vl';

describe.each(cases)('$family against transformers, on $backend', ({ backend, family }) => {
  beforeAll(async () => {
    await selectBackend({ prefer: backend });
  });
  const golden = loadPictureGolden<Seen>(family);
  const { facts, tensors, blueprint, build, named, processor, examplesOf, examples, alone, several } = golden;

  it('names the parameters of transformers with their shapes', () => {
    const wanted = [...named('weight/')].map(([name, { shape }]) => [name, shape]);
    expect(Object.fromEntries(blueprint.parameters.map(({ name, shape }) => [name, shape]))).toEqual(
      Object.fromEntries(wanted),
    );
    const info = ModelInfo.parse(build().describe());
    expect(info.groups.some(({ part }) => part === 'other')).toBe(false);
    expect(new Set(info.groups.map(({ part }) => part))).toEqual(
      new Set(['vision', 'projector', 'embedding', 'language', ...(family === 'idefics3' ? [] : ['head'])]),
    );
  });

  it('makes the same values, tokens and texts of pictures', () => {
    processor.prepare(golden.pictures).forEach((picture, i) => {
      const { grid, tokens, text } = facts.seen[i]!;
      const pixels = tensors.get(`pixels/${i}`)!;
      const vision = facts.config['vision_config'] as Record<string, number>;
      const wanted = isQwen(family) ? pixels.data : asPatches(pixels, vision['patch_size']!);
      expect(distance(picture.patches, wanted)).toBeLessThan(1e-6);
      expect(picture.tokens).toBe(tokens);
      if (grid) expect(picture.grids).toEqual([grid]);
      expect(processor.text(picture)).toBe(text ?? '<|image_pad|>'.repeat(tokens));
    });
  });

  it('gives the same logits of pictures at all positions, with several pictures or none in an example', async () => {
    const model = build();
    for (const testCase of facts.cases) {
      const everywhere = testCase.ids.map((row) => row.length - 1);
      const inputs = uploadInputs(model.collate(examplesOf(testCase, everywhere)));
      const programs = new Programs();
      const { logits } = programs.run('logits', Object.values(inputs), [...model.parameters], () => ({
        logits: model.logits(model.hidden(inputs)),
      }));
      const wanted = tensors.get(`logits/${testCase.name}`)!.data;
      expect(distance((await logits!.data()).subarray(0, wanted.length), wanted)).toBeLessThan(1e-4);
    }
  });

  it.each([false, true])('gives the same loss and gradients of every parameter (recomputed: %s)', async (recompute) => {
    const model = build({ recompute });
    const wanted = named('gradient/');
    const { loss, gradients } = lossAndGradients(model, examples, model.parameters.names);
    expect((await loss.data())[0]).toBeCloseTo(several.loss, 4);
    expect(new Set(Object.keys(gradients))).toEqual(new Set(wanted.keys()));
    expect(wanted.size).toBe(blueprint.parameters.length);
    for (const [name, { shape, data }] of wanted) {
      expect(gradients[name]!.shape, name).toEqual(shape);
      // A softmax does not see what is added to all its keys: these gradients are zero but for rounding.
      const isZero = /vision_model\..*\.k_proj\.bias$/.test(name);
      const values = await gradients[name]!.data();
      if (isZero) expect(distance(values, new Float32Array(values.length)), name).toBeLessThan(1e-5);
      else expect(distance(values, data, 1e-6), name).toBeLessThan(1e-3);
    }
    const other = lossAndGradients(model, examplesOf(alone), ['model.connector.modality_projection.proj.weight'].filter((name) => wanted.has(name))); // prettier-ignore
    expect((await other.loss.data())[0]).toBeCloseTo(alone.loss, 4);
  });

  it.each([
    [1, false],
    [2, true],
    [16, true],
  ])('writes the same tokens, %i at a time (compiled: %s)', async (batchSize, compiled) => {
    const model = build();
    const programs = new Programs();
    for (const testCase of facts.cases) {
      const { prompts, written } = golden.promptsOf(testCase);
      const options = { maxNewTokens: written[0]!.length, endIds: [], batchSize, ...(compiled && { programs }) };
      expect(await model.generate(prompts, options)).toEqual(written);
    }
    programs.dispose();
  });

  it.each([
    ['the projector', /merger|connector/],
    ['some of the language model', /_model\.layers\.1\.mlp/],
    ['a block of the tower', /(blocks|vision_model\.encoder\.layers)\.0\./],
  ])('gives the same gradients for %s alone', async (_, selection) => {
    for (const recompute of [false, true]) {
      const model = build({ recompute });
      const names = model.parameters.names.filter((name) => selection.test(name) && !name.endsWith('k_proj.bias'));
      const { gradients } = lossAndGradients(model, examples, names);
      expect(Object.keys(gradients)).toEqual(names);
      for (const name of names)
        expect(distance(await gradients[name]!.data(), tensors.get(`gradient/${name}`)!.data, 1e-6), name).toBeLessThan(
          1e-3,
        );
    }
  });

  it('keeps nothing of a tower that is not trained for the backward pass', () => {
    const model = build();
    const inputs = uploadInputs(model.collate(examples));
    const keptFor = (part: RegExp): number => {
      let kept = 0;
      const name = model.parameters.names.find((name) => part.test(name))!;
      const { loss, gradients } = model.parameters.gradients([name], () => {
        const before = tf.memory().numBytes;
        const residual = model.hidden(inputs);
        kept = tf.memory().numBytes - before;
        return tf.sum(residual);
      });
      tf.dispose([loss, ...gradients.values()]);
      return kept;
    };
    const frozen = keptFor(/merger\.mlp\.2|connector/);
    const trained = keptFor(/(blocks|vision_model\.encoder\.layers)\.0\.mlp/);
    const features = inputs['patches']!.shape[0]! * 12 * Float32Array.BYTES_PER_ELEMENT;
    expect(trained - frozen).toBeGreaterThan(10 * features);
  });

  it('has no gradient of what a batch without pictures does not reach', () => {
    const model = build();
    const names = model.parameters.names.filter((name) => /layers\.0\.self_attn\.q_proj\.weight|visual|connector/.test(name)); // prettier-ignore
    const { gradients } = lossAndGradients(model, examples.slice(1, 2), names);
    expect(Object.keys(gradients)).toEqual([expect.stringMatching(/(text|language)_model\.layers\.0\.self_attn/)]);
  });

  it('runs one compiled function for pictures of one bucket, and leaks no tensor', async () => {
    const model = build();
    const [first, second] = examplesOf(alone);
    const programs = new Programs();
    const losses: number[] = [];
    const run = async (batch: Example[]): Promise<void> => {
      const inputs = uploadInputs(model.collate(batch, { length: 64 }));
      const { sum } = programs.run('sum', Object.values(inputs), [...model.parameters], () => ({
        sum: tf.sum(model.hidden(inputs)),
      }));
      losses.push((await sum!.data())[0]!);
      tf.dispose([...Object.values(inputs), sum!]);
    };
    // The same numbers of patches and windows in both.
    await run([first!, second!]);
    const before = tf.memory().numTensors;
    await run([second!, first!]);
    expect(tf.memory().numTensors).toBe(before);
    expect(losses[1]).not.toBe(losses[0]);
    if (backend === 'tensorflow') expect(programs.compiled).toBe(1);
  });

  it('takes the features of pictures that are given', async () => {
    const model = build();
    const inputs = uploadInputs(model.collate(examples));
    const { patches, ...rest } = inputs;
    const { wanted, got } = tf.tidy(() => {
      const features = model.features!(inputs);
      patches!.dispose();
      return { wanted: features, got: model.hidden({ ...rest, features }) };
    });
    expect(wanted.shape[1]).toBe(model.text.width);
    const again = uploadInputs(model.collate(examples));
    const plain = tf.tidy(() => model.hidden(again));
    expect(distance(await got.data(), await plain.data())).toBeLessThan(1e-6);
  });

  describe('refuses', () => {
    const [whole] = examplesOf(alone);
    const [, text] = examples;
    const placeholders = whole!.ids.filter((id) => id === golden.pictureToken).length;
    const [picture] = whole!.pictures as [PreparedPicture];
    const [height, width] = picture.grids[0]!;
    it.each<[string, Partial<Example>, string | RegExp]>([
      ['fewer placeholders than visual tokens', { ids: whole!.ids.slice(0, 8), labels: whole!.labels.slice(0, 8) }, `Example 2 of the batch has 4 placeholders (token 7) for ${placeholders} visual tokens of 1 pictures. Write one`], // prettier-ignore
      ['placeholders without a picture', { pictures: [] }, `has ${placeholders} placeholders (token 7) for 0 visual tokens of 0 pictures`], // prettier-ignore
      ['a picture without placeholders', { ids: text!.ids, labels: text!.labels }, 'Example 2 of the batch has 1 pictures and 0 placeholders (token 7) for them'], // prettier-ignore
      ['a picture of another patch size', { pictures: [{ ...picture, patches: new Float32Array(9) }] }, /Example 2 of the batch has a picture, number 1, that was prepared for another model: its patches are not of \d x \d pixels/], // prettier-ignore
      ['a picture of other rows', { pictures: [{ ...picture, rows: 1 }] }, 'it has 1 patches in'],
      ['a picture of other tokens', { pictures: [{ ...picture, tokens: 1 }] }, 'it says 1 visual tokens, and this model makes'], // prettier-ignore
      ['a picture of odd sides', { pictures: [{ ...picture, grids: [[height + 1, width + 1]] }] }, /multiples of 2 patches|patches in 1 tiles|not made of 2 x 2/], // prettier-ignore
      ['a picture without tiles', { pictures: [{ ...picture, grids: [] }] }, /it has 0 grids|not squares/],
    ])('%s', (_, changed, message) => {
      expect(() => build().collate([text!, { ...whole!, ...changed }])).toThrow(message);
    });

    it('a picture without pixels', () => {
      const nothing: RgbPicture = { width: 0, height: 5, data: new Uint8Array() };
      expect(() => processor.prepare([nothing])).toThrow('0 x 5');
    });
  });
});

describe('configurations', () => {
  const { facts: qwen, blueprint: qwenBlueprint, pictures } = loadPictureGolden('qwen2_5_vl');
  const { facts: smolvlm, blueprint: tiled } = loadPictureGolden('smolvlm');

  it('of Qwen2.5-VL are nested, or flat as they are published', () => {
    const { text_config, vision_config, ...rest } = qwen.config as Record<string, Record<string, unknown>>;
    const { rope_parameters, ...flat } = text_config as Record<string, Record<string, unknown>>;
    const { rope_theta, mrope_section } = rope_parameters!;
    const published = {
      ...rest,
      ...flat,
      vision_config,
      model_type: 'qwen2_5_vl',
      rope_theta,
      rope_scaling: { type: 'mrope', mrope_section },
    };
    const read = readBlueprint(published);
    expect(read.text).toEqual(qwenBlueprint.text);
    expect(read.parameters).toEqual(qwenBlueprint.parameters);
  });

  it('of Qwen2.5-VL leave out what their class has by default', () => {
    const { text } = readBlueprint({
      model_type: 'qwen2_5_vl',
      vision_config: { hidden_size: 1280, out_hidden_size: 2048 },
      hidden_size: 2048,
      num_attention_heads: 16,
      num_key_value_heads: 2,
      num_hidden_layers: 36,
      intermediate_size: 11_008,
      vocab_size: 151_936,
      tie_word_embeddings: true,
    });
    expect(text).toMatchObject({
      ...{ width: 2048, headSize: 128, rmsNormEps: 1e-5, tied: true },
      rope: { theta: 1e6, sections: [16, 24, 24] },
    });
  });

  const changedVision = (facts: { config: Record<string, unknown> }, changed: object) => ({
    ...facts.config,
    vision_config: { ...(facts.config['vision_config'] as object), ...changed },
  });
  it.each<[string, unknown, string | RegExp]>([
    ['Qwen2.5-VL without a vision part', { ...qwen.config, vision_config: undefined }, 'config.json: vision_config is missing or no object: the model has no vision part.'], // prettier-ignore
    ['SmolVLM without a vision part', { ...smolvlm.config, vision_config: null }, 'vision_config is missing'],
    ['SmolVLM without a language model', { ...smolvlm.config, text_config: undefined }, 'text_config is wrong'],
    ['features of another width', changedVision(qwen, { out_hidden_size: 99 }), "vision_config.out_hidden_size is 99; the language model's hidden_size is 16"], // prettier-ignore
    ['windows of half a cell', changedVision(qwen, { window_size: 12 }), 'vision_config.window_size is 12; it must be a multiple of 8 pixels'], // prettier-ignore
    ['heads that cannot turn', changedVision(qwen, { num_heads: 8 }), 'vision_config.num_heads is 8'],
    ['a block that does not exist', changedVision(qwen, { fullatt_block_indexes: [2] }), 'names the block 2; there are 2'], // prettier-ignore
    ['sections of another sum', { ...qwen.config, text_config: { ...(qwen.config['text_config'] as object), rope_parameters: { rope_theta: 1, mrope_section: [1, 1, 1] } } }, 'mrope_section is 1, 1, 1; it must be three numbers with the sum 4'], // prettier-ignore
    ['a placeholder outside of the vocabulary', { ...qwen.config, image_token_id: 40 }, 'image_token_id is 40'],
    ['a placeholder outside of the vocabulary', { ...smolvlm.config, image_token_id: 40 }, 'image_token_id is 40'],
    ['patches larger than the picture', changedVision(smolvlm, { patch_size: 17 }), 'vision_config.patch_size is 17'],
    ['heads that do not divide the width', changedVision(smolvlm, { num_attention_heads: 5 }), 'it must divide hidden_size, 12'], // prettier-ignore
    ['an unknown activation', changedVision(smolvlm, { hidden_act: 'relu' }), 'vision_config.hidden_act is wrong'],
  ])('are refused: %s', (_, config, message) => {
    expect(() => readBlueprint(config)).toThrow(ConfigurationError);
    expect(() => readBlueprint(config)).toThrow(message);
  });

  it.each([
    [{ patch_size: 14 }, 'preprocessor_config.json: patch_size is 14; config.json says 4.'],
    [{ merge_size: 4 }, 'merge_size is 4; config.json says 2'],
    [{ min_pixels: 10, max_pixels: 5 }, 'min_pixels is 10; max_pixels is 5'],
    [{ resample: 1 }, 'resample is wrong: only 3 (bicubic) is known'],
    ['bicubic', 'preprocessor_config.json: the whole file is not an object.'],
    [{ image_mean: [0.5] }, 'image_mean'],
  ])('of Qwen2.5-VL pictures are refused: %j', (config, message) => {
    expect(() => qwenBlueprint.pictures!(config)).toThrow(message);
  });

  it('of pictures leave out fields that are null', () => {
    for (const [blueprint, facts] of [
      [qwenBlueprint, qwen],
      [tiled, smolvlm],
    ] as const) {
      const plain = blueprint.pictures!(facts.preprocessor).prepare(pictures);
      const more = { min_pixels: null, image_mean: null, rescale_factor: null, do_image_splitting: null };
      expect(blueprint.pictures!({ ...more, ...facts.preprocessor }).prepare(pictures)).toEqual(plain);
    }
  });

  it.each([
    [
      { max_image_size: { longest_edge: 12 } },
      'max_image_size is 12 pixels, 3 patches; config.json joins 2 x 2 patches',
    ],
    [{ resample: 3 }, 'resample is wrong: only 1 (Lanczos) is known'],
    [{ size: { height: 5, width: 5 } }, 'size.longest_edge is wrong'],
  ])('of SmolVLM pictures are refused: %j', (config, message) => {
    expect(() => tiled.pictures!(config)).toThrow(message);
  });
});

describe('SmolVLM', () => {
  const { blueprint, pictures, prepare, build, facts } = loadPictureGolden('smolvlm');

  it('sees a picture as one tile when it is not split', () => {
    const processor = blueprint.pictures!({ ...facts.preprocessor, do_image_splitting: false });
    const [picture] = processor.prepare(pictures);
    expect(picture).toMatchObject({ grids: [[4, 4]], tokens: 4 });
    expect(processor.text(picture!)).toBe(`<fake_token_around_image><global-img>${'<image>'.repeat(4)}<fake_token_around_image>`); // prettier-ignore
  });

  it('leaves out tiles of zeros, as transformers pads pictures', () => {
    const [picture] = prepare([0]) as [PreparedPicture];
    const padded: PreparedPicture = {
      ...picture,
      patches: Float32Array.of(...picture.patches, ...new Float32Array(16 * 48)),
      rows: picture.rows + 16,
      grids: [...picture.grids, [4, 4]],
    };
    const ids = new Int32Array(picture.tokens).fill(7);
    const [plain, other] = [picture, padded].map((picture) => {
      return build().collate([{ ids, labels: ids, pictures: [picture] }]);
    });
    expect(other).toEqual(plain);
  });

  it('refuses tiles of two sizes in one batch', () => {
    const larger = blueprint.pictures!({ ...facts.preprocessor, max_image_size: { longest_edge: 24 } });
    const example = (picture: PreparedPicture): Example => {
      const ids = new Int32Array(picture.tokens).fill(7);
      return { ids, labels: ids, pictures: [picture] };
    };
    const batch = [example(prepare([0])[0]!), example(larger.prepare(pictures)[0]!)];
    expect(() => build().collate(batch)).toThrow('tiles of 4 and of 6 patches a side');
  });
});

describe('the geometry of pictures, as in transformers', () => {
  interface Geometry {
    /** Height, width, fewest and most pixels, and the new height and width. */
    resized: [number, number, number, number, number, number][];
    windows: { grid: [number, number]; order: number[]; ends: number[]; places: number[] }[];
    positions: { ids: number[]; grids: [number, number][]; axes: number[][]; next: number }[];
    tiles: { longest: number; tile: number; patch: number; scale: number; size: Size; rows: number; columns: number }[];
    /** The places of the first row and of the first column. */
    places: { side: number; grid: number; row: number[]; column: number[] }[];
  }
  const geometry = JSON.parse(readFileSync(assetPath('models/fixtures/picture-geometry.json'), 'utf8')) as Geometry;

  it('resizes pictures to the same sizes', () => {
    for (const [height, width, least, most, ...wanted] of geometry.resized)
      expect(smartResize([height, width], 28, { least, most }), `${height} x ${width}`).toEqual(wanted);
  });

  it.each(geometry.windows)('orders the patches and windows of a grid of $grid', ({ grid, order, ends, places }) => {
    const windows = windowsOf([grid[0] / 2, grid[1] / 2], 4);
    expect([...windows.order]).toEqual(order);
    let end = 0;
    expect([0, ...windows.lengths.map((cells) => (end += 4 * cells))]).toEqual(ends);
    const { rows, columns } = patchPositions(grid, 2);
    expect([...rows].flatMap((row, at) => [row, columns[at]!])).toEqual(places);
  });

  it.each(geometry.positions)('counts the positions of texts with pictures of $grids', ({ ids, grids, axes, next }) => {
    const cells = grids.map(([height, width]): Size => [height / 2, width / 2]);
    const got = textPositions(Int32Array.from(ids), cells, 7);
    expect(got.axes.map((axis) => [...axis])).toEqual(axes);
    expect(got.next).toBe(next);
  });

  it.each(geometry.tiles)(
    'cuts $size into $rows x $columns tiles of $tile',
    ({ longest, tile, size, rows, columns }) => {
      const [height, width] = fitTiles(fitLongest(size, longest), tile);
      const one = height === tile && width === tile;
      expect(one ? [0, 0] : [height / tile, width / tile]).toEqual([rows, columns]);
    },
  );

  it('has 64, 81 and 169 tokens a tile', () => {
    const tokens = geometry.tiles.map(({ tile, patch, scale }) => (Math.floor(tile / patch) / scale) ** 2);
    expect(new Set(tokens)).toEqual(new Set([169, 64, 81]));
  });

  it.each(geometry.places)('places $side patches in a grid of $grid', ({ side, grid, row, column }) => {
    const places = [...positionBuckets(side, grid)];
    expect(places.slice(0, side)).toEqual(row);
    expect(places.filter((_, at) => at % side === 0)).toEqual(column);
  });
});
