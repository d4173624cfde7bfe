import * as tf from '@tensorflow/tfjs-core';
import { compiled } from '@plumbline/server/dist/trainer/methods/compiled.js';
import { fineTuning } from '@plumbline/server/dist/trainer/methods/fine-tuning.js';
import type { Example, Model } from '@plumbline/server/dist/trainer/models/model.js';
import { uploadInputs } from '@plumbline/server/dist/trainer/models/upload.js';
import { AdamW } from '@plumbline/server/dist/trainer/optim/adamw.js';

/** Fine-tunes a model with the paper's AdamW: each call takes one step and returns its loss. */
export function stepsOf(
  model: Model,
  learningRate: number,
): (examples: readonly Example[], trainable: readonly string[]) => Promise<number> {
  const method = compiled(fineTuning(model));
  const optimizer = new AdamW({ beta2: 0.999, weightDecay: 0 });
  return async (examples, trainable) => {
    const inputs = uploadInputs(model.collate(examples));
    const { loss, gradients } = method.lossAndGradients(inputs, trainable);
    const norm = optimizer.apply(model.parameters, gradients, learningRate, 1);
    const value = (await loss.data())[0]!;
    tf.dispose([loss, norm, ...gradients.values(), ...Object.values(inputs)]);
    return value;
  };
}
