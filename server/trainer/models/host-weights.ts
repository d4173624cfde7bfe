import * as tf from '@tensorflow/tfjs-core';
import type { Parameters } from '../runtime/parameter.js';
import { hostValues } from '../runtime/variable.js';
import type { HostTensor } from '../safetensors.js';

/** Copies all parameters to the host. */
export async function hostWeights(parameters: Parameters): Promise<Map<string, HostTensor>> {
  const weights = new Map<string, HostTensor>();
  for (const parameter of parameters)
    weights.set(parameter.name, { shape: [...parameter.shape], data: await hostValues(parameter) });
  return weights;
}

/** Overwrites the given parameters. @throws Error naming one that is unknown or has another shape */
export function assignWeights(parameters: Parameters, weights: ReadonlyMap<string, HostTensor>): void {
  for (const [name, { data, shape }] of weights)
    tf.tidy(() => parameters.parameter(name).assign(tf.tensor(data, shape, 'float32')));
}
