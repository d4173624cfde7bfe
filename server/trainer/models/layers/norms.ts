import * as tf from '@tensorflow/tfjs-core';
import { withGradient } from '../../runtime/with-gradient.js';

/**
 * Root mean square norm over the last axis: x / sqrt(mean(x^2) + eps) * weight. Zhang & Sennrich 2019, as LlamaRMSNorm
 * in Hugging Face transformers.
 *
 * Computed as the unit vector x / sqrt(sum(x^2) + C eps) times sqrt(C) weight. This is the same with fewer kernels: the
 * gradient of a unit vector needs no mean, and sqrt(C) goes into the small weight.
 * @param x [N, C] @param weight [C] @returns [N, C]
 */
export function rmsNorm(x: tf.Tensor2D, weight: tf.Tensor1D, eps: number): tf.Tensor2D {
  const width = x.shape[1];
  return withGradient(
    ([x, weight], save) => {
      const scale = tf.rsqrt(tf.add(tf.sum(tf.square(x!), 1, true), width * eps));
      const unit = tf.mul(x!, scale);
      const wide = tf.mul(weight!, Math.sqrt(width));
      save([unit, scale, wide]);
      return {
        value: tf.mul(unit, wide),
        gradFunc: (dy, [unit, scale, wide]) => {
          const dUnit = tf.mul(dy, wide!);
          const along = tf.sum(tf.mul(dUnit, unit!), 1, true);
          return [
            tf.mul(scale!, tf.sub(dUnit, tf.mul(unit!, along))),
            tf.mul(tf.sum(tf.mul(dy, unit!), 0), Math.sqrt(width)),
          ];
        },
      };
    },
    x,
    weight,
  ) as tf.Tensor2D;
}

/**
 * Layer norm over the last axis: (x - mean) / sqrt(variance + eps) * weight + bias (Ba et al. 2016).
 * @param x [N, C] @param weight [C] @param bias [C] @returns [N, C]
 */
export function layerNorm(x: tf.Tensor2D, weight: tf.Tensor1D, bias: tf.Tensor1D, eps: number): tf.Tensor2D {
  return withGradient(
    ([x, weight, bias], save) => {
      const centred = tf.sub(x!, tf.mean(x!, 1, true));
      const scale = tf.rsqrt(tf.add(tf.mean(tf.square(centred), 1, true), eps));
      const unit = tf.mul(centred, scale);
      save([unit, scale, weight!]);
      return {
        value: tf.add(tf.mul(unit, weight!), bias!),
        gradFunc: (dy, [unit, scale, weight]) => {
          const dUnit = tf.mul(dy, weight!);
          const along = tf.mul(unit!, tf.mean(tf.mul(dUnit, unit!), 1, true));
          return [
            tf.mul(scale!, tf.sub(tf.sub(dUnit, tf.mean(dUnit, 1, true)), along)),
            tf.sum(tf.mul(dy, unit!), 0),
            tf.sum(dy, 0),
          ];
        },
      };
    },
    x,
    weight,
    bias,
  ) as tf.Tensor2D;
}
