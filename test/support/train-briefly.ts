import * as tf from '@tensorflow/tfjs-core';
import { AdamW } from '@plumbline/server/dist/trainer/optim/adamw.js';
import { selectBackend, type BackendName } from '@plumbline/server/dist/trainer/backend/select-backend.js';
import { collate, toDevice } from '@plumbline/server/dist/trainer/data/batch.js';
import { targetTasks } from '@plumbline/server/dist/trainer/data/target-tasks.js';
import { builtInTokenizer } from '@plumbline/server/dist/trainer/data/vocabulary.js';
import { fineTuning } from '@plumbline/server/dist/trainer/method/fine-tuning.js';
import { compiled } from '@plumbline/server/dist/trainer/method/compiled.js';
import { VisionLanguageModel } from '@plumbline/server/dist/trainer/model/vision-language-model.js';
import { Rng } from '@plumbline/shared/rng';

/*
 * Trains a small model for a few steps on the backend named on the command line and prints one JSON line with the
 * device and the losses. It is a separate process because a tfjs process keeps its first backend.
 */

const { device } = await selectBackend({ prefer: process.argv[2] as BackendName, allowSoftwareGpu: true });
const tokenizer = builtInTokenizer();
const model = VisionLanguageModel.initialize(
  {
    ...{ imageSize: 32, patchSize: 8, hiddenSize: 24, visionLayers: 1, visionIntermediateSize: 32, decoderLayers: 2 },
    ...{
      intermediateSize: 32,
      heads: 2,
      vocabSize: tokenizer.size,
      maxTextTokens: 10,
      ropeTheta: 10_000,
      rmsNormEps: 1e-6,
    },
  },
  1,
);
const names = model.parameters.names;
const method = compiled(fineTuning(model));
const optimizer = new AdamW();
const rng = new Rng(1);
const losses: number[] = [];
for (let step = 0; step < 6; step++) {
  const examples = Array.from({ length: 4 }, () => targetTasks[step % 2]!.sample(rng, 'train'));
  const batch = toDevice(collate(examples, tokenizer, 10));
  // Half of the parameters are frozen midway, so that the comparison includes the optimizer's regrouping.
  const trainable = step === 2 || step === 3 ? names.filter((name) => name.includes('self_attn')) : names;
  const { loss, gradients } = method.lossAndGradients(batch, trainable);
  const norm = optimizer.apply(model.parameters, gradients, 3e-3, 1);
  losses.push((await loss.data())[0]!, (await norm.data())[0]!);
  tf.dispose([loss, norm, ...gradients.values(), ...Object.values(batch)]);
}
console.log(JSON.stringify({ device, losses }));
process.exit(0);
