import { createInterface } from 'node:readline';
import { selectBackend, type BackendName } from '@plumbline/server/dist/trainer/backend/select-backend.js';
import { loadModel } from '@plumbline/server/dist/trainer/models/load-model.js';
import { noLabel, type Example } from '@plumbline/server/dist/trainer/models/model.js';
import { resolveSelection } from '@plumbline/shared/selection';
import { Rng } from '@plumbline/shared/rng';
import { stepsOf } from './train-step.js';

/*
 * Trains a model from a folder on random texts: `BACKEND FOLDER BATCH`. For each line on standard input with a recipe, a
 * number of steps and the lengths of their texts, it answers with the milliseconds per step, as wall time and as CPU
 * time of all cores, and the process's peak memory. `train-model-twin.py` does the same with transformers and PyTorch.
 */
const [backend, folder, batchText] = process.argv.slice(2) as [BackendName, string, string];
process.env['TF_NUM_INTRAOP_THREADS'] ??= '2';
const { device } = await selectBackend({ prefer: backend });
const model = await loadModel(folder);
const step = stepsOf(model, 5e-5);
const rng = new Rng(1);
/** Tokens of an answer, at the end of its text. */
const answered = 8;

function example(length: number): Example {
  const ids = Int32Array.from({ length }, () => rng.integer(model.text.vocabulary));
  return { ids, labels: ids.map((id, at) => (at < length - answered ? noLabel : id)), pictures: [] };
}

console.log(JSON.stringify({ device }));
for await (const line of createInterface(process.stdin)) {
  const [recipe, steps, lengths] = line.split(' ') as [string, string, string];
  const resolved = resolveSelection({ kind: 'recipe', recipe }, model.describe());
  if (!resolved.ok) throw new Error(resolved.reason);
  const each = lengths.split(',').map(Number);
  const [startMs, startCpu] = [performance.now(), process.cpuUsage()];
  let loss = NaN;
  for (let i = 0; i < Number(steps); i++) {
    const examples = Array.from({ length: Number(batchText) }, () => example(each[i % each.length]!));
    loss = await step(examples, resolved.trainable);
  }
  const { user, system } = process.cpuUsage(startCpu);
  const stepMs = (performance.now() - startMs) / Number(steps);
  const peakMb = process.resourceUsage().maxRSS / 1024;
  const cpuMs = (user + system) / 1000 / Number(steps);
  console.log(JSON.stringify({ stepMs, cpuMs, peakMb, loss }));
}
process.exit(0);
