import { join } from 'node:path';
import * as tf from '@tensorflow/tfjs-core';
import { Parameters, type Parameter } from '../runtime/parameter.js';
import { makeParameter } from '../runtime/variable.js';
import { readJson } from '../text/tokenizer.js';
import { ModelWeights } from '../weights/model-weights.js';
import type { BuildOptions } from './blueprint.js';
import type { Model } from './model.js';
import { readBlueprint } from './registry.js';

export interface LoadOptions extends BuildOptions {
  /** Ends the loading; nothing stays on the device then. */
  signal?: AbortSignal;
}

/**
 * Loads a model from a folder in the Hugging Face layout onto the device. On the host there is one tensor at a time.
 * @throws ConfigurationError when config.json does not describe a model of a known family
 * @throws DamagedFileError when the weights do not fit it
 */
export async function loadModel(folder: string, { signal, ...options }: LoadOptions = {}): Promise<Model> {
  const blueprint = readBlueprint(await readJson(join(folder, 'config.json')));
  const wanted = new Map(blueprint.parameters.map(({ name, shape }) => [name, shape]));
  const weights = await ModelWeights.open(folder, blueprint.family, wanted, {
    tiedHead: !wanted.has('lm_head.weight'),
  });
  const loaded: Parameter[] = [];
  try {
    for (const [name, shape] of wanted) {
      signal?.throwIfAborted();
      const values = await weights.read(name);
      loaded.push(makeParameter(name, () => tf.tensor(values, [...shape], 'float32')));
    }
  } catch (error) {
    for (const parameter of loaded) parameter.dispose();
    throw error;
  } finally {
    await weights.close();
  }
  return blueprint.build(new Parameters(loaded), options);
}
