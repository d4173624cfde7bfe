import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { assetPath } from '../asset.js';
import { Parameters, type Parameter } from '../runtime/parameter.js';
import { readSafetensors } from '../safetensors.js';
import type { BuildOptions } from './blueprint.js';
import { crossEntropy } from './layers/losses.js';
import type { Example, Model } from './model.js';
import { readBlueprint } from './registry.js';
import { uploadInputs } from './upload.js';

/*
 * For tests: tiny random models with what transformers computes with them. The scripts beside the fixtures write
 * `weight/<name>` and `gradient/<name>`, tensors of their own, and a JSON file with config.json and further facts.
 */

class TestParameter implements Parameter {
  readonly variable: tf.Variable;
  constructor(
    readonly name: string,
    values: tf.Tensor,
  ) {
    this.variable = tf.tidy(() => tf.variable(values));
  }
  get shape(): readonly number[] {
    return this.variable.shape;
  }
  get size(): number {
    return this.variable.size;
  }
  value(): tf.Tensor {
    return tf.clone(this.variable);
  }
  assign(tensor: tf.Tensor): void {
    this.variable.assign(tensor);
  }
  dispose(): void {
    this.variable.dispose();
  }
}

/** @param file of models/fixtures, without its ending */
export function loadGolden<Facts extends { config: unknown }>(file: string) {
  const facts = JSON.parse(readFileSync(assetPath(`models/fixtures/${file}.json`), 'utf8')) as Facts;
  const { tensors } = readSafetensors(readFileSync(assetPath(`models/fixtures/${file}.safetensors`)));
  const blueprint = readBlueprint(facts.config);
  const build = (options?: BuildOptions) => {
    const all = blueprint.parameters.map(({ name }) => {
      const { data, shape } = tensors.get(`weight/${name}`)!;
      return new TestParameter(name, tf.tensor(data, shape));
    });
    const model = blueprint.build(new Parameters(all), options);
    return { model, variables: new Map(all.map(({ name, variable }) => [name, variable])) };
  };
  /** Tensors below a prefix, by their names behind it. */
  const named = (prefix: string) =>
    new Map(
      [...tensors].flatMap(([name, tensor]) => (name.startsWith(prefix) ? [[name.slice(prefix.length), tensor]] : [])),
    );
  return { facts, tensors, blueprint, build, named };
}

/**
 * The largest distance of two lists of numbers, relative to the largest wanted one where that exceeds `least`; NaN if one
 * of them is not a number.
 * @throws Error when they are not as many
 */
export function distance(got: ArrayLike<number>, wanted: ArrayLike<number>, least = 0): number {
  if (got.length !== wanted.length) throw new Error(`There are ${got.length} values instead of ${wanted.length}.`);
  let [most, size] = [0, least];
  for (let i = 0; i < got.length; i++) {
    const apart = Math.abs(got[i]! - wanted[i]!);
    if (!(apart <= most)) most = apart;
    size = Math.max(size, Math.abs(wanted[i]!));
  }
  return least > 0 ? most / size : most;
}

/** The loss over the answers of a batch, and its gradients. */
export function lossAndGradients(model: Model, examples: readonly Example[], names: readonly string[]) {
  return tf.tidy(() => {
    const inputs = uploadInputs(model.collate(examples));
    const { loss, gradients } = model.parameters.gradients(names, () =>
      crossEntropy(
        model.logits(model.hidden(inputs)),
        inputs['targets'] as tf.Tensor1D,
        inputs['weights'] as tf.Tensor1D,
      ),
    );
    return { loss, gradients: Object.fromEntries(gradients) };
  });
}
