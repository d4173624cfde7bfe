import type * as tf from '@tensorflow/tfjs-core';
import type { ModelBatch, VisionLanguageModel } from '../model/vision-language-model.js';
import type { Answers } from '../probe/evaluation.js';

/** What a training method makes of the base model, and how that is taught. */
export interface Method {
  /** The model that is trained. At its start it answers as the base does. */
  readonly model: VisionLanguageModel;
  /** All tensors that loss and gradients are computed from, beside the batch. */
  readonly tensors: readonly tf.Tensor[];
  /**
   * Loss and gradients of one batch, for the parameters in `trainable` only; `parts` are what the loss is the sum of,
   * by metric name, empty where it is one thing. The caller disposes all.
   */
  lossAndGradients(
    batch: ModelBatch,
    trainable: readonly string[],
  ): { loss: tf.Scalar; parts: ReadonlyMap<string, tf.Scalar>; gradients: Map<string, tf.Tensor> };
  /**
   * What is evaluated at the end of a stage beside the model itself, by its share of the trained weights. While it goes
   * on the model holds other weights; at its end they are bit for bit what they were.
   */
  evaluateBeside?(
    ask: (model: VisionLanguageModel) => Promise<Answers>,
  ): AsyncIterable<{ weight: number; right: Answers }>;
  dispose(): void;
}
