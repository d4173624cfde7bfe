import { createInterface } from 'node:readline';
import * as tf from '@tensorflow/tfjs-core';
import { selectBackend, type BackendName } from '@plumbline/server/dist/trainer/backend/select-backend.js';
import { crossEntropy } from '@plumbline/server/dist/trainer/models/layers/losses.js';
import { loadModel } from '@plumbline/server/dist/trainer/models/load-model.js';
import { noLabel, type Example } from '@plumbline/server/dist/trainer/models/model.js';
import { uploadInputs } from '@plumbline/server/dist/trainer/models/upload.js';
import { AdamW } from '@plumbline/server/dist/trainer/optim/adamw.js';
import { Programs } from '@plumbline/server/dist/trainer/runtime/program.js';
import { resolveSelection } from '@plumbline/shared/selection';
import { Rng } from '@plumbline/shared/rng';

/*
 * Trains a model from a folder on random texts: `BACKEND FOLDER BATCH`. For each line on standard input with a recipe, a
 * number of steps and the lengths of their texts, it answers with the milliseconds per step, as wall time and as CPU
 * time of all cores, and the process's peak memory. `train-model-twin.py` does the same with transformers and PyTorch.
 */
const [backend, folder, batchText] = process.argv.slice(2) as [BackendName, string, string];
process.env['TF_NUM_INTRAOP_THREADS'] ??= '2';
const { device } = await selectBackend({ prefer: backend });
const model = await loadModel(folder);
const optimizer = new AdamW({ beta2: 0.999, weightDecay: 0 });
const programs = new Programs();
const rng = new Rng(1);
/** Tokens of an answer, at the end of its text. */
const answered = 8;

function example(length: number): Example {
  const ids = Int32Array.from({ length }, () => rng.integer(model.text.vocabulary));
  return { ids, labels: ids.map((id, at) => (at < length - answered ? noLabel : id)), pictures: [] };
}

async function step(trainable: readonly string[], length: number): Promise<number> {
  const examples = Array.from({ length: Number(batchText) }, () => example(length));
  const inputs = uploadInputs(model.collate(examples));
  const { loss, ...gradients } = programs.run(
    `loss and gradients of ${trainable.join(', ')}`,
    Object.values(inputs),
    [...model.parameters],
    () => {
      const result = model.parameters.gradients(trainable, () =>
        crossEntropy(
          model.logits(model.hidden(inputs)),
          inputs['targets'] as tf.Tensor1D,
          inputs['weights'] as tf.Tensor1D,
        ),
      );
      return { loss: result.loss, ...Object.fromEntries(result.gradients) };
    },
  );
  const norm = optimizer.apply(model.parameters, new Map(Object.entries(gradients)), 5e-5, 1);
  const value = (await loss!.data())[0]!;
  tf.dispose([loss!, norm, ...Object.values(gradients), ...Object.values(inputs)]);
  return value;
}

console.log(JSON.stringify({ device }));
for await (const line of createInterface(process.stdin)) {
  const [recipe, steps, lengths] = line.split(' ') as [string, string, string];
  const resolved = resolveSelection({ kind: 'recipe', recipe }, model.describe());
  if (!resolved.ok) throw new Error(resolved.reason);
  const each = lengths.split(',').map(Number);
  const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
  let loss = NaN;
  for (let i = 0; i < Number(steps); i++) loss = await step(resolved.trainable, each[i % each.length]!);
  const { user, system } = process.cpuUsage(startCpu);
  const stepMs = (performance.now() - startMs) / Number(steps);
  const peakMb = process.resourceUsage().maxRSS / 1024;
  const cpuMs = (user + system) / 1000 / Number(steps);
  console.log(JSON.stringify({ stepMs, cpuMs, peakMb, loss, compiled: programs.compiled }));
}
process.exit(0);
