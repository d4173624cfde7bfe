import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { Rng } from '@plumbline/shared/rng';
import { AdamW } from './optim/adamw.js';
import { assetPath } from './asset.js';
import { cacheFolder } from './backend/native-setup.js';
import { selectBackend } from './backend/select-backend.js';
import { loadCheckpoint, saveBaseModel, saveCheckpoint } from './checkpoint.js';
import { heldOutTasks } from './data/held-out-tasks.js';
import { drawQuestions } from './data/task.js';
import { builtInTokenizer } from './data/vocabulary.js';
import { learningRateAt } from './learning-rate.js';
import { compiled } from './methods/compiled.js';
import { fineTuning } from './methods/fine-tuning.js';
import { baseOf } from './models/base.js';
import { buildModel } from './models/build-model.js';
import type { BuiltInConfig } from './models/built-in/configuration.js';
import { builtInBlueprint } from './models/built-in/modeling.js';
import { prepareQuestion } from './models/built-in/processing.js';
import { freshWeights } from './models/built-in/weights.js';
import { assignWeights, hostWeights } from './models/host-weights.js';
import { uploadInputs } from './models/upload.js';
import { answersRight, percentTrue } from './probes/accuracy.js';
import { Programs } from './runtime/program.js';

/*
 * Makes the base model that ships with the project: `npm run pretrain`. It trains every parameter on the held-out tasks
 * and writes server/trainer/base. After a kill it resumes from its last checkpoint; PLUMBLINE_PRETRAIN_STEPS shortens
 * it.
 */

const seed = 20_251_008;
const steps = Number(process.env['PLUMBLINE_PRETRAIN_STEPS'] ?? 10_000);
if (!Number.isSafeInteger(steps) || steps < 1)
  throw new Error(
    `PLUMBLINE_PRETRAIN_STEPS cannot be "${process.env['PLUMBLINE_PRETRAIN_STEPS']}": a whole number from 1.`,
  );
const batchSize = 32;
const learningRate = 1.5e-3;
const weightDecay = 0.05;
const questionsPerTask = 400;
const reportEvery = 500;
/** Captions describe a picture best and teach binding fastest. The count of a task is its weight. */
const mix = [
  'colour',
  'colour',
  'shape',
  'position',
  'position',
  'yes_no',
  'yes_no',
  'caption',
  'caption',
  'caption',
  'digits',
  'easy_vqa',
  'easy_vqa',
  'chart',
];

const { name: backend } = await selectBackend();
const tokenizer = builtInTokenizer();
const config: BuiltInConfig = {
  imageSize: 32,
  patchSize: 8,
  hiddenSize: 96,
  visionLayers: 2,
  visionIntermediateSize: 256,
  decoderLayers: 4,
  intermediateSize: 256,
  heads: 4,
  vocabSize: tokenizer.size,
  maxTextTokens: 16,
  ropeTheta: 10_000,
  rmsNormEps: 1e-6,
};

const work = join(cacheFolder(), 'pretrain');
const progressPath = join(work, 'progress.json');
const checkpointPath = join(work, 'checkpoint');
await mkdir(work, { recursive: true });

const tasks = new Map(heldOutTasks.map((task) => [task.name, task]));
const model = await buildModel(baseOf(builtInBlueprint(config), freshWeights(config, seed)));
const method = compiled(fineTuning(model));
const optimizer = new AdamW({ weightDecay });
let dataRng = new Rng(seed + 1);
let first = 1;
let minutes = 0;
let lossCurve: [number, number][] = [];
if (existsSync(checkpointPath) && existsSync(progressPath)) {
  const checkpoint = await loadCheckpoint(checkpointPath);
  const progress = JSON.parse(await readFile(progressPath, 'utf8')) as { minutes: number; lossCurve: typeof lossCurve };
  assignWeights(model.parameters, checkpoint.weights);
  optimizer.load(checkpoint.optimizer);
  dataRng = Rng.fromState(checkpoint.position.dataRng);
  first = checkpoint.position.step + 1;
  ({ minutes, lossCurve } = progress);
  console.log(`Resuming after step ${first - 1}.`);
}
console.log(`${model.parameters.size} parameters, ${tokenizer.size} words, ${steps} steps on ${backend}`);

const programs = new Programs();
async function accuracies(): Promise<Record<string, number>> {
  const result: Record<string, number> = {};
  for (const [name, task] of tasks) {
    const questions = drawQuestions(task, `pretraining ${seed}`, questionsPerTask).map((question) =>
      prepareQuestion(question, tokenizer),
    );
    const right: boolean[] = [];
    for (let from = 0; from < questionsPerTask; from += 100)
      right.push(...(await answersRight(model, programs, questions.slice(from, from + 100))));
    result[name] = percentTrue(right);
  }
  return result;
}

const names = model.parameters.names;
let startMs = Date.now();
let lossSum = 0;
for (let step = first; step <= steps; step++) {
  const examples = Array.from({ length: batchSize }, () => tasks.get(dataRng.pick(mix))!.sample(dataRng, 'train'));
  const inputs = uploadInputs(model.collate(examples.map((question) => prepareQuestion(question, tokenizer))));
  const { loss, gradients } = method.lossAndGradients(inputs, names);
  const rate = learningRateAt(step, { kind: 'cosine', peak: learningRate, warmupSteps: 100, steps, floor: 0.02 });
  const norm = optimizer.apply(model.parameters, gradients, rate, 1);
  lossSum += (await loss.data())[0]!;
  tf.dispose([loss, norm, ...gradients.values(), ...Object.values(inputs)]);
  if (step % reportEvery !== 0 && step !== steps) continue;

  const accuracy = await accuracies();
  const meanAccuracy = Object.values(accuracy).reduce((sum, value) => sum + value, 0) / tasks.size;
  lossCurve.push([step, Number((lossSum / (step - (lossCurve.at(-1)?.[0] ?? 0))).toFixed(4))]);
  lossSum = 0;
  minutes += (Date.now() - startMs) / 60_000;
  startMs = Date.now();
  const left = (minutes / step) * (steps - step);
  const words = Object.entries(accuracy).map(([name, value]) => `${name} ${value.toFixed(1)}`);
  console.log(
    `${step} loss ${lossCurve.at(-1)![1]} mean ${meanAccuracy.toFixed(1)} % (${words.join(', ')}), ${left.toFixed(0)} min left`,
  );
  const weights = await hostWeights(model.parameters);
  await saveCheckpoint(checkpointPath, {
    weights,
    optimizer: await optimizer.state(model.parameters),
    position: { step, dataRng: dataRng.state, learningRate, selection: { kind: 'recipe', recipe: 'full' } },
    method: { kind: 'fine_tuning' },
  });
  await writeFile(progressPath, JSON.stringify({ minutes, lossCurve }));
  await saveBaseModel(assetPath('base'), {
    config,
    weights,
    tokenizer,
    record: {
      command: 'npm run pretrain',
      ...{ seed, steps: step, batchSize, learningRate, weightDecay, backend },
      wallTimeMinutes: Number(minutes.toFixed(1)),
      ...{ lossCurve, questionsPerTask, accuracy, meanAccuracy },
    },
  });
}
await rm(work, { recursive: true });
