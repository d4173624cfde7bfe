import * as tf from '@tensorflow/tfjs-core';
import { metrics } from '@plumbline/shared/metric';
import type { Base } from '../models/base.js';
import { buildModel } from '../models/build-model.js';
import { distillation } from '../models/layers/losses.js';
import { answerLoss, lossAndGradients } from './fine-tuning.js';
import type { Method } from './method.js';

/**
 * Learning without forgetting (Li & Hoiem 2016): cross-entropy on the answers plus weight * temperature^2 * KL(teacher
 * || student), both softened by the temperature, at the answer positions of the same batch. The teacher is a frozen
 * copy of the base, so every stage pulls back to the base. The reference implementation of arXiv 2510.08564
 * (llava_lwf_trainer.py; weight 1, temperature 2, the same two means over answer positions) takes the model from the
 * end of the previous stage instead.
 */
export async function lwf(base: Base, settings: { weight: number; temperature: number }): Promise<Method> {
  const { weight, temperature } = settings;
  const model = await buildModel(base);
  const teacher = await buildModel(base);
  return {
    model,
    parameters: [...model.parameters, ...teacher.parameters],
    lossAndGradients: (inputs, trainable) => {
      // Before the student's pass, so that the gradient records nothing of it.
      const wanted = tf.tidy(() => teacher.logits(teacher.hidden(inputs)));
      const parts = new Map<string, tf.Scalar>();
      const result = lossAndGradients(model, inputs, trainable, (logits) => {
        const distilled = distillation(logits, wanted, inputs['weights'] as tf.Tensor1D, temperature);
        parts.set(metrics.taskLoss, tf.keep(answerLoss(logits, inputs)));
        parts.set(metrics.distillationLoss, tf.keep(tf.mul(distilled, weight)));
        return tf.addN([...parts.values()]);
      });
      wanted.dispose();
      return { ...result, parts };
    },
    dispose: () => {
      model.dispose();
      teacher.dispose();
    },
  };
}
