import * as tf from '@tensorflow/tfjs-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  blocks,
  contributionChange,
  metrics,
  numberTokenPush,
  targetAccuracy,
  weightDrift,
} from '@plumbline/shared/metric';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { builtInSeries } from '@plumbline/shared/built-in/series';
import { nativeIsSetUp } from '../backend/native-setup.js';
import { selectBackend } from '../backend/select-backend.js';
import { loadBaseModel, type BaseModel } from '../checkpoint.js';
import { heldOutTasks } from '../data/held-out-tasks.js';
import { targetTasks } from '../data/target-tasks.js';
import { drawQuestions, type DrawnQuestion } from '../data/task.js';
import { mixtureOfExperts } from '../methods/mixture-of-experts.js';
import { buildModel } from '../models/build-model.js';
import { prepareQuestion } from '../models/built-in/processing.js';
import { assignWeights } from '../models/host-weights.js';
import { noLabel, type Example, type Model } from '../models/model.js';
import { numberTokenIds } from '../number-tokens.js';
import { Programs } from '../runtime/program.js';
import { answersRight, percentTrue } from './accuracy.js';
import { ProbeSuite } from './probe-suite.js';

/** The measures on the shipped model; other tests check the formulas by hand-worked cases. */
describe('probes of the shipped base model', () => {
  let base: BaseModel;
  let model: Model;
  let suite: ProbeSuite;
  beforeAll(async () => {
    await selectBackend({ prefer: nativeIsSetUp('@tensorflow/tfjs-node') ? 'tensorflow' : 'wasm' });
    base = await loadBaseModel();
    model = await buildModel(base);
    suite = await ProbeSuite.create(model, base.tokenizer, { targets: ['counting'], questionsPerTask: 12 });
  });
  afterAll(() => suite.dispose());

  const draw = (name: string, seed: string, count: number): DrawnQuestion[] =>
    drawQuestions(
      [...heldOutTasks, ...targetTasks].find((task) => task.name === name)!,
      seed,
      count,
    );

  const percentRight = async (questions: readonly DrawnQuestion[]): Promise<number> => {
    const examples = questions.map((question) => prepareQuestion(question, base.tokenizer));
    return percentTrue(await answersRight(model, new Programs(), examples));
  };

  it('find no shift and no drift from itself', async () => {
    const values = await suite.run(model);
    expect(values[metrics.kl]).toBe(0);
    expect(values[metrics.js]).toBeCloseTo(0, 12);
    expect(values[metrics.top1Agreement]).toBe(100);
    const drifts = Object.entries(values).filter(([name]) => name.startsWith('drift/'));
    expect(drifts.length).toBe(new Set(model.describe().groups).size);
    expect(drifts.every(([, drift]) => drift === 0)).toBe(true);
    const contributions = Object.entries(values).filter(([name]) => name.startsWith('contribution/'));
    expect(contributions.length).toBe(2 * 2 * base.config.decoderLayers);
    expect(contributions.every(([, change]) => change === 0)).toBe(true);
    expect(values[metrics.probeDurationMs]).toBeGreaterThan(0);
  });

  it('have the series that the new-run form lists', async () => {
    const known = builtInSeries(RunConfig.parse({ name: 'x', tasks: ['counting'] }));
    const ofProbes = known.filter((name) => !/^(train|energy)\//.test(name));
    expect(Object.keys(await suite.run(model)).sort()).toEqual(ofProbes.sort());
    const method = { kind: 'mixture_of_experts', experts: 2 } as const;
    const mixed = await mixtureOfExperts(base, { experts: 2 }, 1);
    const groups = mixed.model.describe().groups.map(({ name }) => weightDrift(name));
    mixed.dispose();
    const drifts = builtInSeries({ tasks: ['counting'], method }).filter((name) => name.startsWith('drift/'));
    expect(drifts.sort()).toEqual(groups.sort());
  });

  it('give the same held-out values for any number of target tasks', async () => {
    const questionsPerTask = 24;
    const few = await ProbeSuite.create(model, base.tokenizer, { targets: ['counting'], questionsPerTask });
    // More rows than fit one pass: the second pass has no held-out question.
    const targets = targetTasks.map(({ name }) => name);
    const many = await ProbeSuite.create(model, base.tokenizer, { targets, questionsPerTask });
    const name = 'language_model.layers.2.mlp.down_proj.weight';
    const weights = base.weights.get(name)!;
    assignWeights(model.parameters, new Map([[name, { ...weights, data: weights.data.map((value) => value * 1.5) }]]));
    const [ofFew, ofMany] = [await few.run(model), await many.run(model)];
    assignWeights(model.parameters, base.weights);
    expect(ofFew[contributionChange(2, 'mlp')]).toBeGreaterThan(0);
    for (const [metric, value] of Object.entries(ofFew))
      if (metric !== metrics.probeDurationMs) expect(ofMany[metric], metric).toBeCloseTo(value, 4);
    for (const target of targets) expect(ofMany).toHaveProperty([targetAccuracy(target)]);
    few.dispose();
    many.dispose();
  });

  it('give a group at 1.5 times the base a drift of 0.5, all others exactly 0', async () => {
    const group = 'language_model.layers.1.mlp.up_proj';
    const [name, weights] = [...base.weights].find(([name]) => name === `${group}.weight`)!;
    assignWeights(model.parameters, new Map([[name, { ...weights, data: weights.data.map((value) => value * 1.5) }]]));
    const values = await suite.run(model);
    assignWeights(model.parameters, base.weights);
    expect(values[weightDrift(group)]).toBeCloseTo(0.5, 6);
    for (const [other, drift] of Object.entries(values))
      if (other.startsWith('drift/') && other !== weightDrift(group)) expect(drift).toBe(0);
    expect(values[metrics.kl]).toBeGreaterThan(0);
    expect(values[metrics.js]).toBeGreaterThan(0);
    expect(values[metrics.js]).toBeLessThanOrEqual(Math.LN2);
  });

  it('find the block whose contribution changed, and none before it', async () => {
    const name = 'language_model.layers.2.mlp.down_proj.weight';
    const weights = base.weights.get(name)!;
    assignWeights(model.parameters, new Map([[name, { ...weights, data: weights.data.map((value) => value * 1.5) }]]));
    const values = await suite.run(model);
    assignWeights(model.parameters, base.weights);
    for (const layer of [0, 1, 2])
      for (const block of blocks) {
        const changed = layer === 2 && block === 'mlp';
        if (changed) expect(values[contributionChange(layer, block)]).toBeGreaterThan(0.01);
        else expect(values[contributionChange(layer, block)]).toBe(0);
        if (changed) expect(values[numberTokenPush(layer, block)]).not.toBe(0);
        else expect(values[numberTokenPush(layer, block)]).toBe(0);
      }
    // The last layer has not changed, but its input has.
    expect(values[contributionChange(3, 'self_attn')]).toBeGreaterThan(0);
  });

  it('compute visual features again after a change of the vision tower or the projector, and leak no tensor', async () => {
    const before = tf.memory().numTensors;
    for (const name of ['vision_tower.encoder.layers.1.mlp.fc2.weight', 'multi_modal_projector.linear_2.bias']) {
      const weights = base.weights.get(name)!;
      assignWeights(
        model.parameters,
        new Map([[name, { ...weights, data: weights.data.map((value) => value * 2 + 0.1) }]]),
      );
      expect((await suite.run(model))[metrics.kl], name).toBeGreaterThan(0);
      assignWeights(model.parameters, base.weights);
      expect((await suite.run(model))[metrics.kl], name).toBe(0);
    }
    expect(tf.memory().numTensors).toBe(before);
  });

  it('find number tokens everywhere when the head always gives "3"', async () => {
    const head = [...base.weights].find(([name]) => name.startsWith('lm_head.'))!;
    const { shape, data } = head[1];
    // Logits of a sharpened row against rows of 0: of two opposite rows one is above 0 at each position.
    const [rows, width] = shape as [number, number];
    const three = base.tokenizer.encode('3')[0]!;
    const four = base.tokenizer.encode('4')[0]!;
    const sharp = new Float32Array(data.length);
    const vocabularyFirst = rows === base.tokenizer.size;
    for (let i = 0; i < (vocabularyFirst ? width : rows); i++) {
      const at = (token: number): number => (vocabularyFirst ? token * width + i : i * width + token);
      sharp[at(three)] = 1000 * (data[at(three)]! || 1);
      sharp[at(four)] = -sharp[at(three)]!;
    }
    assignWeights(model.parameters, new Map([[head[0], { shape, data: sharp }]]));
    const values = await suite.run(model);
    assignWeights(model.parameters, base.weights);
    expect(numberTokenIds(base.tokenizer.words)).toEqual(expect.arrayContaining([three, four]));
    expect(values[metrics.numberTokensHeldOut]).toBeCloseTo(1, 2);
    expect(values[metrics.numberTokensTarget]).toBeCloseTo(1, 2);
    expect(suite.baseline[metrics.numberTokensHeldOut]).toBeLessThan(0.01);
  });

  it('ask the same questions for the same seed', async () => {
    const again = await ProbeSuite.create(model, base.tokenizer, { targets: ['counting'], questionsPerTask: 12 });
    const { [metrics.probeDurationMs]: _first, ...first } = suite.baseline;
    const { [metrics.probeDurationMs]: _second, ...second } = again.baseline;
    again.dispose();
    expect(second).toEqual(first);
    expect(first[targetAccuracy('counting')]).toBeDefined();
  });

  it.each(['caption', 'digits', 'easy_vqa', 'counting'])(
    'count an answer to %s as right exactly when greedy decoding gives it',
    async (task) => {
      let right = 0;
      const examples = draw(task, 'greedy', 24);
      for (const example of examples) {
        const { ids, labels, pictures } = prepareQuestion(example, base.tokenizer);
        const asked = labels.findIndex((id) => id !== noLabel);
        const prompt: Example = { ids: ids.subarray(0, asked), labels: labels.subarray(0, asked), pictures };
        const [tokens] = await model.generate([prompt], { maxNewTokens: 8, endIds: [base.tokenizer.endId] });
        const words = base.tokenizer.decode(tokens!);
        if (words === example.answer) right++;
      }
      expect(await percentRight(examples)).toBeCloseTo((right / 24) * 100, 9);
    },
  );

  it.each(heldOutTasks.map(({ name, chance }) => [name, chance] as const))(
    'find %s as good as its training record says, on other questions, and above chance',
    async (name, chance) => {
      const recorded = base.record.accuracy[name]!;
      const found = await percentRight(draw(name, 'others', 150));
      // Four standard errors of 150 and 400 questions, and one point for a recorded share of 100 %.
      const share = recorded / 100;
      const error = 100 * Math.sqrt(share * (1 - share) * (1 / 150 + 1 / base.record.questionsPerTask));
      expect(Math.abs(found - recorded)).toBeLessThanOrEqual(4 * error + 1);
      expect(found).toBeGreaterThan(chance);
      expect(base.record.meanAccuracy).toBeGreaterThanOrEqual(80);
    },
  );
});
