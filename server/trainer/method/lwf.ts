import * as tf from '@tensorflow/tfjs-core';
import { metrics } from '@plumbline/shared/metric';
import { buildModel, type BaseWeights } from '../checkpoint.js';
import { maskedDistillation } from '../model/layers.js';
import { answerLoss } from '../model/vision-language-model.js';
import type { Method } from './method.js';

/**
 * Learning without forgetting (Li & Hoiem 2016): cross-entropy on the answers plus weight * temperature^2 * KL(teacher
 * || student), both softened by the temperature, at the answer positions of the same batch. The teacher is a frozen
 * copy of the base, so every stage pulls back to the base. The reference implementation of arXiv 2510.08564
 * (llava_lwf_trainer.py; weight 1, temperature 2, the same two means over answer positions) takes the model from the
 * end of the previous stage instead.
 */
export function lwf(base: BaseWeights, settings: { weight: number; temperature: number }): Method {
  const { weight, temperature } = settings;
  const model = buildModel(base.config, base.weights);
  const teacher = buildModel(base.config, base.weights);
  return {
    model,
    parameters: [...model.parameters, ...teacher.parameters],
    tables: [...model.tables, ...teacher.tables],
    lossAndGradients: (batch, trainable) => {
      // Before the student's pass, so that the gradient records nothing of it.
      const wanted = tf.tidy(() => tf.reshape<tf.Rank.R2>(teacher.forward(batch), [-1, base.config.vocabSize]));
      const parts = new Map<string, tf.Scalar>();
      const result = model.lossAndGradients(batch, trainable, (logits) => {
        const distillation = maskedDistillation(logits, wanted, tf.reshape(batch.lossMask, [-1]), temperature);
        parts.set(metrics.taskLoss, tf.keep(answerLoss(logits, batch)));
        parts.set(metrics.distillationLoss, tf.keep(tf.mul(distillation, weight)));
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
