import * as tf from '@tensorflow/tfjs-core';
import { withGradient } from '../../runtime/with-gradient.js';

/**
 * silu(gate) * up, with silu(g) = g * sigmoid(g): the gate of the decoder's MLP (Shazeer 2020, SwiGLU).
 * @param gate [N, M] @param up [N, M] @returns [N, M]
 */
export function siluGate(gate: tf.Tensor2D, up: tf.Tensor2D): tf.Tensor2D {
  return withGradient(
    ([gate, up], save) => {
      save([gate!, up!]);
      return {
        value: tf.mul(tf.mul(gate!, tf.sigmoid(gate!)), up!),
        gradFunc: (dy, [gate, up]) => {
          const sigmoid = tf.sigmoid(gate!);
          const silu = tf.mul(gate!, sigmoid);
          // silu' = sigmoid + silu * (1 - sigmoid)
          const slope = tf.add(sigmoid, tf.mul(silu, tf.sub(1, sigmoid)));
          return [tf.mul(tf.mul(dy, up!), slope), tf.mul(dy, silu)];
        },
      };
    },
    gate,
    up,
  ) as tf.Tensor2D;
}

/** Gaussian error linear unit in its sigmoid form, x * sigmoid(1.702 x) (Hendrycks & Gimpel 2016; `quick_gelu` of CLIP). */
export function quickGelu(x: tf.Tensor2D): tf.Tensor2D {
  return withGradient(([x], save) => {
    const sigmoid = tf.sigmoid(tf.mul(x!, 1.702));
    const value = tf.mul(x!, sigmoid);
    save([sigmoid, value]);
    return {
      value,
      gradFunc: (dy, [sigmoid, value]) =>
        tf.mul(dy, tf.add(sigmoid!, tf.mul(tf.mul(value!, 1.702), tf.sub(1, sigmoid!)))),
    };
  }, x) as tf.Tensor2D;
}

/** Gaussian error linear unit, x * P(X <= x) for a standard normal X (`gelu` of transformers: the projectors). */
export function gelu(x: tf.Tensor2D): tf.Tensor2D {
  return withGradient(([x], save) => {
    const below = tf.mul(tf.add(tf.erf(tf.mul(x!, Math.SQRT1_2)), 1), 0.5);
    save([x!, below]);
    return {
      value: tf.mul(x!, below),
      gradFunc: (dy, [x, below]) => {
        const density = tf.mul(tf.exp(tf.mul(tf.square(x!), -0.5)), 1 / Math.sqrt(2 * Math.PI));
        return tf.mul(dy, tf.add(below!, tf.mul(x!, density)));
      },
    };
  }, x) as tf.Tensor2D;
}

/** The approximation of `gelu` by tanh (`gelu_pytorch_tanh` of transformers: SigLIP). */
export function geluTanh(x: tf.Tensor2D): tf.Tensor2D {
  const [slope, cube] = [Math.sqrt(2 / Math.PI), 0.044715];
  return withGradient(([x], save) => {
    const square = tf.square(x!);
    const turn = tf.tanh(tf.mul(tf.mul(x!, tf.add(tf.mul(square, cube), 1)), slope));
    const half = tf.mul(tf.add(turn, 1), 0.5);
    save([x!, turn]);
    return {
      value: tf.mul(x!, half),
      gradFunc: (dy, [x, turn]) => {
        const inner = tf.mul(tf.add(tf.mul(tf.square(x!), 3 * cube), 1), slope / 2);
        const bend = tf.mul(tf.mul(x!, tf.sub(1, tf.square(turn!))), inner);
        return tf.mul(dy, tf.add(tf.mul(tf.add(turn!, 1), 0.5), bend));
      },
    };
  }, x) as tf.Tensor2D;
}
