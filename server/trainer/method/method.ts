import type * as tf from '@tensorflow/tfjs-core';
import type { ModelBatch, VisionLanguageModel } from '../model/vision-language-model.js';
import type { Parameter } from '../runtime/parameter.js';
import type { Answers } from '../probe/evaluation.js';

/** A training method: the model that it makes of the base, and how to train it. */
export interface Method {
  /** The trained model. Before training it answers as the base does. */
  readonly model: VisionLanguageModel;
  /** All parameters that loss and gradients depend on, in a fixed order. */
  readonly parameters: readonly Parameter[];
  /** All tensors beside the batch that loss and gradients depend on. */
  readonly tables: readonly tf.Tensor[];
  /**
   * Loss and gradients of one batch, for the parameters in `trainable` only. `parts` are the terms of the loss by
   * metric name, empty if it has a single term. The caller disposes all.
   */
  lossAndGradients(
    batch: ModelBatch,
    trainable: readonly string[],
  ): { loss: tf.Scalar; parts: ReadonlyMap<string, tf.Scalar>; gradients: Map<string, tf.Tensor> };
  /**
   * Evaluates further models at the end of a stage, by their share of the trained weights. The model holds other
   * weights meanwhile; afterwards they are restored bit for bit.
   */
  evaluateBeside?(
    ask: (model: VisionLanguageModel) => Promise<Answers>,
  ): AsyncIterable<{ weight: number; right: Answers }>;
  dispose(): void;
}
