import type * as tf from '@tensorflow/tfjs-core';
import { crossEntropy } from '../models/layers/losses.js';
import type { Inputs, Model } from '../models/model.js';
import type { Method } from './method.js';

/** What training minimises, from the logits [P, V] at the positions that are read. */
export type Objective = (logits: tf.Tensor2D, inputs: Inputs) => tf.Scalar;

/** Mean cross-entropy over the answer positions, in nats. */
export const answerLoss: Objective = (logits, { targets, weights }) =>
  crossEntropy(logits, targets as tf.Tensor1D, weights as tf.Tensor1D);

/** The objective on a batch, and its gradients by the parameters in `trainable`. The caller disposes both. */
export const lossAndGradients = (
  model: Model,
  inputs: Inputs,
  trainable: readonly string[],
  objective = answerLoss,
): { loss: tf.Scalar; gradients: Map<string, tf.Tensor> } =>
  model.parameters.gradients(trainable, () => objective(model.logits(model.hidden(inputs)), inputs));

/** Plain fine-tuning: cross-entropy on the answers only. Other methods use it to train the parameters that they add. */
export function fineTuning(model: Model): Method {
  return {
    model,
    parameters: [...model.parameters],
    lossAndGradients: (inputs, trainable) => ({ ...lossAndGradients(model, inputs, trainable), parts: new Map() }),
    dispose: () => model.dispose(),
  };
}
