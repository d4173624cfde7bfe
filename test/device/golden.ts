import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { assetPath } from '@plumbline/server/dist/trainer/asset.js';
import { selectBackend, type BackendName } from '@plumbline/server/dist/trainer/backend/select-backend.js';
import { ModelConfig } from '@plumbline/server/dist/trainer/model/model-config.js';
import { VisionLanguageModel } from '@plumbline/server/dist/trainer/model/vision-language-model.js';
import { readSafetensors } from '@plumbline/server/dist/trainer/safetensors.js';

/*
 * Compares the model with PyTorch's values for the same weights and inputs (model/fixtures), on the backend named on
 * the command line. Prints one JSON line: the device and the largest absolute differences. Exits with 1 if one is above
 * the tolerance.
 */

/** Single precision over some ten layers of values of about 1; a GPU sums in another order than a CPU. */
const tolerance = 1e-4;

const { device } = await selectBackend({ prefer: process.argv[2] as BackendName, allowSoftwareGpu: true });
const facts = JSON.parse(readFileSync(assetPath('model/fixtures/fixture.json'), 'utf8')) as {
  config: unknown;
  loss: number;
};
const { tensors } = readSafetensors(readFileSync(assetPath('model/fixtures/fixture.safetensors')));
const part = (prefix: string) =>
  new Map([...tensors].filter(([name]) => name.startsWith(prefix)).map(([name, t]) => [name.slice(prefix.length), t]));
const floats = (name: string): tf.Tensor => tf.tensor(tensors.get(name)!.data, tensors.get(name)!.shape);
const integers = (name: string): tf.Tensor2D => tf.cast(floats(name), 'int32') as tf.Tensor2D;

/**
 * The largest absolute difference; NaN if a value is NaN or the lengths differ, so that no comparison passes by
 * accident.
 */
function farthest(got: ArrayLike<number>, wanted: ArrayLike<number>): number {
  if (got.length !== wanted.length) return NaN;
  return Array.from(got, (value, i) => Math.abs(value - wanted[i]!)).reduce((a, b) => Math.max(a, b), 0);
}

const model = VisionLanguageModel.fromTensors(ModelConfig.parse(facts.config), part('weight/'));
const batch = {
  images: floats('images') as tf.Tensor4D,
  inputIds: integers('ids'),
  targetIds: integers('targets'),
  lossMask: floats('mask') as tf.Tensor2D,
};
const logits = farthest(await model.forward(batch).data(), tensors.get('logits')!.data);
const { loss, gradients } = model.lossAndGradients(batch, model.parameters.names);
const differences = { logits, loss: Math.abs((await loss.data())[0]! - facts.loss), gradients: 0 };
for (const [name, { data }] of part('gradient/'))
  differences.gradients = Math.max(differences.gradients, farthest(await gradients.get(name)!.data(), data));
console.log(JSON.stringify({ device, tolerance, differences }));
process.exit(Object.values(differences).every((difference) => difference < tolerance) ? 0 : 1);
