import { beforeAll, describe, expect, it } from 'vitest';
import { nativeIsSetUp } from '../backend/native-setup.js';
import { selectBackend } from '../backend/select-backend.js';
import { loadBaseModel, type BaseModel } from '../checkpoint.js';
import { heldOutTasks } from '../data/held-out-tasks.js';
import { targetTasks } from '../data/target-tasks.js';
import { buildModel } from '../models/build-model.js';
import { Evaluation } from './evaluation.js';

describe('evaluation of the shipped base model', () => {
  let base: BaseModel;
  beforeAll(async () => {
    await selectBackend({ prefer: nativeIsSetUp('@tensorflow/tfjs-node') ? 'tensorflow' : 'wasm' });
    base = await loadBaseModel();
  });

  it('asks every task, with the same questions for the same seed and others for another', async () => {
    const model = await buildModel(base);
    const answers = async (seed: number) =>
      (await Evaluation.create(model, base.tokenizer, { questionsPerTask: 60, seed })).base;
    const [first, again, other] = [await answers(1), await answers(1), await answers(2)];
    expect(Object.keys(first).sort()).toEqual([...targetTasks, ...heldOutTasks].map(({ name }) => name).sort());
    for (const digits of Object.values(first)) expect(digits).toMatch(/^[01]{60}$/);
    expect(again).toEqual(first);
    expect(other['shape']).not.toBe(first['shape']);
    // The three use the same kind of picture; their answers are nevertheless independent.
    expect(new Set([first['colour'], first['shape'], first['position']]).size).toBe(3);
  });
});
