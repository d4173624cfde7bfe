import * as tf from '@tensorflow/tfjs-core';
import { AdamW } from '@plumbline/server/dist/trainer/optim/adamw.js';
import { selectBackend, type BackendName } from '@plumbline/server/dist/trainer/backend/select-backend.js';
import { targetTasks } from '@plumbline/server/dist/trainer/data/target-tasks.js';
import { builtInTokenizer } from '@plumbline/server/dist/trainer/data/vocabulary.js';
import { fineTuning } from '@plumbline/server/dist/trainer/methods/fine-tuning.js';
import { compiled } from '@plumbline/server/dist/trainer/methods/compiled.js';
import { baseOf } from '@plumbline/server/dist/trainer/models/base.js';
import { buildModel } from '@plumbline/server/dist/trainer/models/build-model.js';
import { builtInBlueprint } from '@plumbline/server/dist/trainer/models/built-in/modeling.js';
import { prepareQuestion } from '@plumbline/server/dist/trainer/models/built-in/processing.js';
import { freshWeights } from '@plumbline/server/dist/trainer/models/built-in/weights.js';
import { uploadInputs } from '@plumbline/server/dist/trainer/models/upload.js';
import { Rng } from '@plumbline/shared/rng';

/*
 * Trains a small model for a few steps on the backend named on the command line and prints one JSON line with the
 * device and the losses. It is a separate process because a tfjs process keeps its first backend.
 */

const { device } = await selectBackend({ prefer: process.argv[2] as BackendName, allowSoftwareGpu: true });
const tokenizer = builtInTokenizer();
const config = {
  ...{ imageSize: 32, patchSize: 8, hiddenSize: 24, visionLayers: 1, visionIntermediateSize: 32, decoderLayers: 2 },
  ...{ intermediateSize: 32, heads: 2, vocabSize: tokenizer.size, maxTextTokens: 10 },
  ...{ ropeTheta: 10_000, rmsNormEps: 1e-6 },
};
const model = await buildModel(baseOf(builtInBlueprint(config), freshWeights(config, 1)));
const names = model.parameters.names;
const method = compiled(fineTuning(model));
const optimizer = new AdamW();
const rng = new Rng(1);
const losses: number[] = [];
for (let step = 0; step < 6; step++) {
  const examples = Array.from({ length: 4 }, () => targetTasks[step % 2]!.sample(rng, 'train'));
  const inputs = uploadInputs(model.collate(examples.map((question) => prepareQuestion(question, tokenizer))));
  // Half of the parameters are frozen midway, so that the comparison includes the optimizer's regrouping.
  const trainable = step === 2 || step === 3 ? names.filter((name) => name.includes('self_attn')) : names;
  const { loss, gradients } = method.lossAndGradients(inputs, trainable);
  const norm = optimizer.apply(model.parameters, gradients, 3e-3, 1);
  losses.push((await loss.data())[0]!, (await norm.data())[0]!);
  tf.dispose([loss, norm, ...gradients.values(), ...Object.values(inputs)]);
}
console.log(JSON.stringify({ device, losses }));
process.exit(0);
