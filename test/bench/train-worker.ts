import * as tf from '@tensorflow/tfjs-core';
import { createInterface } from 'node:readline';
import { AdamW } from '@plumbline/server/dist/trainer/optim/adamw.js';
import { selectBackend, type BackendName } from '@plumbline/server/dist/trainer/backend/select-backend.js';
import { loadBaseModel } from '@plumbline/server/dist/trainer/checkpoint.js';
import { buildModel } from '@plumbline/server/dist/trainer/models/build-model.js';
import { prepareQuestion } from '@plumbline/server/dist/trainer/models/built-in/processing.js';
import { uploadInputs } from '@plumbline/server/dist/trainer/models/upload.js';
import { targetTasks } from '@plumbline/server/dist/trainer/data/target-tasks.js';
import { fineTuning } from '@plumbline/server/dist/trainer/methods/fine-tuning.js';
import { compiled } from '@plumbline/server/dist/trainer/methods/compiled.js';
import { Rng } from '@plumbline/shared/rng';
import type { Recipe } from '@plumbline/shared/built-in/recipe';
import { resolveSelection } from '@plumbline/shared/selection';

/*
 * Trains the base model on one fixed batch: for each line on standard input with a recipe and a number of steps it
 * answers with the milliseconds per step, as wall time and as CPU time of all cores. `train-twin.py` does the same for
 * PyTorch.
 */

const { device } = await selectBackend({ prefer: process.argv[2] as BackendName });
const base = await loadBaseModel();
const model = await buildModel(base);
const method = compiled(fineTuning(model));
const optimizer = new AdamW();
const rng = new Rng(1);
const examples = Array.from({ length: Number(process.argv[3]) }, () => targetTasks[0]!.sample(rng, 'train'));
const inputs = uploadInputs(model.collate(examples.map((question) => prepareQuestion(question, base.tokenizer))));

async function step(trainable: readonly string[]): Promise<void> {
  const { loss, gradients } = method.lossAndGradients(inputs, trainable);
  const norm = optimizer.apply(model.parameters, gradients, 1e-4, 1);
  await loss.data();
  tf.dispose([loss, norm, ...gradients.values()]);
}

console.log(JSON.stringify({ device }));
for await (const line of createInterface(process.stdin)) {
  const [recipe, steps] = line.split(' ') as [Recipe, string];
  const resolved = resolveSelection({ kind: 'recipe', recipe }, model.describe());
  if (!resolved.ok) throw new Error(resolved.reason);
  await step(resolved.trainable);
  const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
  for (let i = 0; i < Number(steps); i++) await step(resolved.trainable);
  const { user, system } = process.cpuUsage(startCpu);
  const stepMs = (performance.now() - startMs) / Number(steps);
  console.log(JSON.stringify({ stepMs, cpuMs: (user + system) / 1000 / Number(steps) }));
}
process.exit(0);
