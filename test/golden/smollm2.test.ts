import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as tf from '@tensorflow/tfjs-core';
import { namedModel } from '@plumbline/shared/built-in/named-models';
import { nativeIsSetUp } from '../../server/trainer/backend/native-setup.js';
import { selectBackend } from '../../server/trainer/backend/select-backend.js';
import { loadModel } from '../../server/trainer/models/load-model.js';
import { noLabel, type Example, type Model } from '../../server/trainer/models/model.js';
import { uploadInputs } from '../../server/trainer/models/upload.js';
import { Programs } from '../../server/trainer/runtime/program.js';
import { cachedModel } from '../../server/trainer/weights/fetch-named-model.js';

/* The real SmolLM2-135M-Instruct against transformers: generate_smollm2.py wrote smollm2.json. */
const facts = JSON.parse(readFileSync(new URL('smollm2.json', import.meta.url), 'utf8')) as {
  end: number;
  newTokens: number;
  prompts: { question: string; ids: number[]; at: number[]; logits: number[]; logSum: number; written: number[] }[];
};
const folder = await cachedModel(namedModel('smollm2-135m')!);
const backend = nativeIsSetUp('@tensorflow/tfjs-node') ? 'tensorflow' : 'wasm';

describe.skipIf(!folder)('SmolLM2 (needs the model: plumbline model fetch smollm2-135m)', () => {
  let model: Model;
  beforeAll(async () => {
    await selectBackend({ prefer: backend });
    model = await loadModel(folder!);
  });
  afterAll(() => model?.dispose());

  it('gives the same logits for 20 prompts', async () => {
    expect(facts.prompts).toHaveLength(20);
    // The label of a further token makes the position behind the prompt one that is read.
    const examples = facts.prompts.map(({ ids }): Example => {
      const labels = [...ids.map(() => noLabel), 0];
      return { ids: Int32Array.from([...ids, 0]), labels: Int32Array.from(labels), pictures: [] };
    });
    const inputs = uploadInputs(model.collate(examples));
    const logits = tf.tidy(() => model.logits(model.hidden(inputs)));
    const all = (await tf.slice(logits, [0, 0], [examples.length, -1]).array()) as number[][];
    const sums = await tf.logSumExp(logits, 1).data();
    facts.prompts.forEach(({ question, at, logits, logSum }, row) => {
      const apart = at.map((id, i) => Math.abs(all[row]![id]! - logits[i]!));
      expect(Math.max(...apart), question).toBeLessThan(1e-3);
      expect(Math.abs(sums[row]! - logSum), question).toBeLessThan(1e-3);
    });
  });

  it('writes the same texts', async () => {
    const prompts = facts.prompts.map(({ ids }): Example => {
      return { ids: Int32Array.from(ids), labels: new Int32Array(ids.length).fill(noLabel), pictures: [] };
    });
    const programs = new Programs();
    const written = await model.generate(prompts, {
      ...{ maxNewTokens: facts.newTokens, endIds: [facts.end], batchSize: 10, programs },
    });
    const wanted = facts.prompts.map(({ written }) => (written.at(-1) === facts.end ? written.slice(0, -1) : written));
    expect(written).toEqual(wanted);
    programs.dispose();
  });
});
