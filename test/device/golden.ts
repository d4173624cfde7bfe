import * as tf from '@tensorflow/tfjs-core';
import { selectBackend, type BackendName } from '@plumbline/server/dist/trainer/backend/select-backend.js';
import { lossAndGradients } from '@plumbline/server/dist/trainer/methods/fine-tuning.js';
import { baseOf } from '@plumbline/server/dist/trainer/models/base.js';
import { buildModel } from '@plumbline/server/dist/trainer/models/build-model.js';
import { part, readFixture } from '@plumbline/server/dist/trainer/models/built-in/fixture.js';
import { builtInBlueprint } from '@plumbline/server/dist/trainer/models/built-in/modeling.js';
import { uploadInputs } from '@plumbline/server/dist/trainer/models/upload.js';

/*
 * Compares the model with PyTorch's values for the same weights and inputs (models/built-in/fixtures), on the backend named on
 * the command line. Prints one JSON line: the device and the largest absolute differences. Exits with 1 if one is above
 * the tolerance.
 */

/** Single precision over some ten layers of values of about 1; a GPU sums in another order than a CPU. */
const tolerance = 1e-4;

const { device } = await selectBackend({ prefer: process.argv[2] as BackendName, allowSoftwareGpu: true });
const { config, facts, tensors, examples, everywhere } = readFixture();

/**
 * The largest absolute difference; NaN if a value is NaN or the lengths differ, so that no comparison passes by
 * accident.
 */
function farthest(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (got.length !== wanted.length) return NaN;
  return Array.from(got, (value, i) => Math.abs(value - wanted[i]!)).reduce((a, b) => Math.max(a, b), 0);
}

const model = await buildModel(baseOf(builtInBlueprint(config), part(tensors, 'weight/')));
const wanted = tensors.get('logits')!;
const all = uploadInputs(model.collate(everywhere));
const logits = tf.tidy(() => {
  const [rows, length, width] = wanted.shape as [number, number, number];
  return tf.slice(model.logits(model.hidden(all)), [0, 0], [rows * length, width]);
});
const inputs = uploadInputs(model.collate(examples));
const { loss, gradients } = lossAndGradients(model, inputs, model.parameters.names);
const differences = {
  logits: farthest(await logits.data(), wanted.data),
  loss: Math.abs((await loss.data())[0]! - facts.loss),
  gradients: 0,
};
for (const [name, { data }] of part(tensors, 'gradient/'))
  differences.gradients = Math.max(differences.gradients, farthest(await gradients.get(name)!.data(), data));
console.log(JSON.stringify({ device, tolerance, differences }));
process.exit(Object.values(differences).every((difference) => difference < tolerance) ? 0 : 1);
