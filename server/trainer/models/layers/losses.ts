import * as tf from '@tensorflow/tfjs-core';
import { withGradient } from '../../runtime/with-gradient.js';

/**
 * Weighted sum of the cross-entropy in nats: the mean over the answer positions where their weights are 1 / number.
 * @param logits [P, V] @param targets [P] int32 @param weights [P], 0 for padding @returns scalar
 */
export function crossEntropy(logits: tf.Tensor2D, targets: tf.Tensor1D, weights: tf.Tensor1D): tf.Scalar {
  const [positions] = logits.shape;
  return withGradient(([logits], save) => {
    const at = tf.stack([tf.range(0, positions, 1, 'int32'), targets], 1);
    const wanted = tf.gatherND(logits!, at);
    const total = tf.logSumExp(logits!, 1, true);
    save([logits!, wanted, total, at, weights]);
    return {
      value: tf.sum(tf.mul(tf.sub(tf.reshape(total, [-1]), wanted), weights)),
      gradFunc: (dy, [logits, wanted, total, at, weights]) => {
        // (softmax - one-hot) * weight: all of softmax, of which the wanted places are then put right.
        const scale = tf.mul(weights!, dy);
        const all = tf.mul(tf.exp(tf.sub(logits!, total!)), tf.reshape(scale, [-1, 1]));
        const right = tf.mul(tf.sub(tf.exp(tf.sub(wanted!, tf.reshape(total!, [-1]))), 1), scale);
        return tf.tensorScatterUpdate(all, at as tf.Tensor2D, right);
      },
    };
  }, logits) as tf.Scalar;
}

/**
 * temperature^2 * KL(teacher || student) in nats, both softmax(logits / temperature), as a weighted sum over positions.
 * The distillation of Hinton et al. 2015; the factor keeps the gradient's size when the temperature changes.
 * @param logits the student's [P, V] @param wanted the teacher's [P, V], a constant @param weights [P] @returns scalar
 */
export function distillation(
  logits: tf.Tensor2D,
  wanted: tf.Tensor2D,
  weights: tf.Tensor1D,
  temperature: number,
): tf.Scalar {
  return withGradient(([logits], save) => {
    const teacher = tf.logSoftmax(tf.div(wanted, temperature) as tf.Tensor2D);
    const student = tf.logSoftmax(tf.div(logits!, temperature) as tf.Tensor2D);
    const share = tf.exp(teacher);
    const weight = tf.reshape(weights, [-1, 1]);
    save([student, share, weight]);
    return {
      value: tf.mul(tf.sum(tf.mul(tf.mul(share, tf.sub(teacher, student)), weight)), temperature ** 2),
      gradFunc: (dy, [student, share, weight]) =>
        tf.mul(tf.sub(tf.exp(student!), share!), tf.mul(tf.mul(weight!, temperature), dy)),
    };
  }, logits) as tf.Scalar;
}
