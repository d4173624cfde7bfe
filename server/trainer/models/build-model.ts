import * as tf from '@tensorflow/tfjs-core';
import { Rng } from '@plumbline/shared/rng';
import { Parameters, type Adapters, type Parameter } from '../runtime/parameter.js';
import { makeParameter } from '../runtime/variable.js';
import type { Base } from './base.js';
import type { BuildOptions, ParameterShape } from './blueprint.js';
import type { Model } from './model.js';
import { startingValues, type Start } from './starting-values.js';

/** A parameter that a training method adds to the base's. */
export interface AddedParameter extends ParameterShape {
  start: Start | { copyOf: string };
}

export interface BuildModelOptions extends BuildOptions {
  adapters?: Adapters;
  /** Only they are trained, if there are any. */
  added?: readonly AddedParameter[];
  /** Of the first values of `added`. */
  seed?: number;
  /** Ends the loading; nothing stays on the device then. */
  signal?: AbortSignal;
}

/** Puts a base's weights onto the device. On the host there is one tensor at a time. */
export async function buildModel(
  { blueprint, read }: Base,
  { adapters, added = [], seed = 0, signal, ...options }: BuildModelOptions = {},
): Promise<Model> {
  const rng = new Rng(seed);
  const made: Parameter[] = [];
  const make = (name: string, shape: readonly number[], values: Float32Array): void => {
    signal?.throwIfAborted();
    made.push(makeParameter(name, () => tf.tensor(values, [...shape], 'float32')));
  };
  try {
    for (const { name, shape } of blueprint.parameters) make(name, shape, await read(name));
    for (const { name, shape, start } of added) {
      const isCopy = typeof start === 'object' && 'copyOf' in start;
      make(name, shape, isCopy ? await read(start.copyOf) : startingValues({ shape, start }, rng));
    }
  } catch (error) {
    for (const parameter of made) parameter.dispose();
    throw error;
  }
  const fixed = added.length > 0 ? new Set(blueprint.parameters.map(({ name }) => name)) : undefined;
  return blueprint.build(new Parameters(made, { adapters, fixed }), options);
}
