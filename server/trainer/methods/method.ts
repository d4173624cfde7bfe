import type * as tf from '@tensorflow/tfjs-core';
import type { Inputs, Model } from '../models/model.js';
import type { Answers } from '../probes/evaluation.js';
import type { Parameter } from '../runtime/parameter.js';

/** A training method: the model that it makes of the base, and how to train it. */
export interface Method {
  /** The trained model. Before training it answers as the base does. */
  readonly model: Model;
  /** All parameters that loss and gradients depend on, in a fixed order. */
  readonly parameters: readonly Parameter[];
  /**
   * Loss and gradients of one batch, for the parameters in `trainable` only. `parts` are the terms of the loss by
   * metric name, empty if it has a single term. The caller disposes all.
   */
  lossAndGradients(
    inputs: Inputs,
    trainable: readonly string[],
  ): { loss: tf.Scalar; parts: ReadonlyMap<string, tf.Scalar>; gradients: Map<string, tf.Tensor> };
  /**
   * Evaluates further models at the end of a stage, by their share of the trained weights. The model holds other
   * weights meanwhile; afterwards they are restored bit for bit.
   */
  evaluateBeside?(ask: (model: Model) => Promise<Answers>): AsyncIterable<{ weight: number; right: Answers }>;
  dispose(): void;
}
