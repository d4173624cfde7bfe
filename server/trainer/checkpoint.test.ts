import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadCheckpoint, saveBaseModel, saveCheckpoint, loadBaseModel, type Checkpoint } from './checkpoint.js';
import { readSafetensors, writeSafetensors } from './safetensors.js';
import { freshWeights } from './models/built-in/weights.js';
import { Tokenizer } from './tokenizer.js';
import { DamagedFileError } from './weights/damaged-file-error.js';

const tensor = (...data: number[]): { shape: number[]; data: Float32Array } => ({
  shape: [data.length],
  data: Float32Array.from(data),
});

describe('safetensors', () => {
  const tensors = new Map([
    ['a', { shape: [2, 2], data: Float32Array.of(1, -2, NaN, Infinity) }],
    ['empty', { shape: [0], data: new Float32Array(0) }],
    ['scalar', { shape: [], data: Float32Array.of(0.1) }],
  ]);
  const file = writeSafetensors(tensors, { made: 'here' });

  it('reads back what was written, NaN and infinities too', () => {
    expect(readSafetensors(file)).toEqual({ tensors, metadata: { made: 'here' } });
  });
  it('has the layout of the format: header length, JSON, data aligned to eight bytes', () => {
    const headerBytes = Number(file.readBigUInt64LE());
    expect(headerBytes % 8).toBe(0);
    expect(JSON.parse(file.toString('utf8', 8, 8 + headerBytes))).toMatchObject({
      a: { dtype: 'F32', shape: [2, 2], data_offsets: [0, 16] },
    });
    expect(file.readFloatLE(8 + headerBytes + 4)).toBe(-2);
  });
  it('refuses a file cut anywhere', () => {
    for (let length = 0; length < file.length; length++)
      expect(() => readSafetensors(file.subarray(0, length)), `cut to ${length}`).toThrow(DamagedFileError);
  });
  it('refuses bytes after the end, overlaps, other types and absurd headers', () => {
    expect(() => readSafetensors(Buffer.concat([file, Buffer.of(0)]))).toThrow(/1 bytes follow/);
    const altered = (from: string, to: string): Buffer => {
      const copy = Buffer.from(file);
      copy.write(to, copy.indexOf(from));
      return copy;
    };
    expect(() => readSafetensors(altered('"F32"', '"F16"'))).toThrow(/type F16/);
    expect(() => readSafetensors(altered('[0,16]', '[4,16]'))).toThrow(/does not fill its place/);
    expect(() => readSafetensors(altered('[2,2]', '[2,9]'))).toThrow(/does not fill its place/);
    const absurd = Buffer.from(file);
    absurd.writeBigUInt64LE(2n ** 60n);
    expect(() => readSafetensors(absurd)).toThrow(/header says/);
  });
});

describe('checkpoints', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'plumbline-checkpoint-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const checkpoint: Checkpoint = {
    weights: new Map([['w', tensor(1, 2, 3)]]),
    optimizer: {
      steps: { w: 7 },
      tensors: new Map([
        ['w.exp_avg', tensor(0.1, 0.2, 0.3)],
        ['w.exp_avg_sq', tensor(1, 1, 1)],
      ]),
    },
    position: { step: 7, dataRng: [1, 2, 3, 4], learningRate: 0.001, selection: { kind: 'recipe', recipe: 'full' } },
    method: { kind: 'fine_tuning' },
  };

  it('restores weights, optimizer and position, replaces an existing one, and leaves nothing else behind', async () => {
    const path = join(folder, 'step-000007');
    await saveCheckpoint(path, { ...checkpoint, position: { ...checkpoint.position, step: 6 } });
    const { bytes, digest } = await saveCheckpoint(path, checkpoint);
    expect(bytes).toBeGreaterThan(0);
    expect(digest).toMatch(/^[0-9a-f]{64}$/);
    expect(await loadCheckpoint(path)).toEqual(checkpoint);
    expect(await readdir(folder)).toEqual(['step-000007']);
  });

  it('refuses a file with one flipped byte, and says which file and what to do', async () => {
    const path = join(folder, 'c');
    await saveCheckpoint(path, checkpoint);
    for (const name of ['model.safetensors', 'optimizer.safetensors']) {
      const content = await readFile(join(path, name));
      const flipped = Buffer.from(content);
      flipped[flipped.length - 3]! ^= 1;
      await writeFile(join(path, name), flipped);
      await expect(loadCheckpoint(path)).rejects.toThrow(new RegExp(`${name} is damaged.*earlier checkpoint`, 's'));
      await writeFile(join(path, name), content);
    }
    await rm(join(path, 'model.safetensors'));
    await expect(loadCheckpoint(path)).rejects.toThrow(/does not exist\. Choose another/);
  });

  it('leaves no partial files when it cannot write', async () => {
    await writeFile(join(folder, 'file'), '');
    await expect(saveCheckpoint(join(folder, 'file', 'c'), checkpoint)).rejects.toThrow();
    expect(await readdir(folder)).toEqual(['file']);
  });

  it('refuses a base model whose digest or tokenizer does not match', async () => {
    const record = {
      ...{ command: 'x', seed: 1, steps: 1, batchSize: 1, learningRate: 1, weightDecay: 0, backend: 'wasm' },
      ...{ wallTimeMinutes: 0, lossCurve: [], questionsPerTask: 1, accuracy: {}, meanAccuracy: 0 },
    };
    const config = {
      ...{ imageSize: 8, patchSize: 8, hiddenSize: 2, visionLayers: 1, visionIntermediateSize: 2, decoderLayers: 1 },
      ...{ intermediateSize: 2, heads: 1, vocabSize: 3, maxTextTokens: 2, ropeTheta: 1, rmsNormEps: 1 },
    };
    const base = {
      config,
      weights: freshWeights(config, 1),
      tokenizer: new Tokenizer(['<pad>', '<eos>', 'a']),
      record,
    };
    await saveBaseModel(folder, base);
    const loaded = await loadBaseModel(folder);
    expect(loaded.tokenizer.words).toEqual(['<pad>', '<eos>', 'a']);
    expect(await loaded.read('lm_head.weight')).toEqual(base.weights.get('lm_head.weight')!.data);

    // Right digest, wrong content for this configuration.
    await saveBaseModel(folder, { ...base, weights: checkpoint.weights });
    await expect(loadBaseModel(folder)).rejects.toThrow(DamagedFileError);
    await saveBaseModel(folder, { ...base, config: { ...config, vocabSize: 4 } });
    await expect(loadBaseModel(folder)).rejects.toThrow(/has 3 words, the model 4/);
    await writeFile(join(folder, 'model.safetensors'), 'no');
    await expect(loadBaseModel(folder)).rejects.toThrow(/damaged.*restore the file from the repository/s);
  });
});
