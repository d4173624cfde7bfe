import * as tf from '@tensorflow/tfjs-core';
import { withGradient } from '../../runtime/with-gradient.js';

/**
 * Rows of a matrix: token embeddings, or the positions of which something is wanted. A row taken twice gets the sum of
 * both gradients.
 *
 * tf.gather does the same, but reads its indices back on TensorFlow, and its gradient needs a kernel that WASM lacks.
 * @param x [N, C] @param index [P] int32, each within 0..N-1 @returns [P, C]
 */
export function gatherRows(x: tf.Tensor2D, index: tf.Tensor1D): tf.Tensor2D {
  const { shape } = x;
  return withGradient(([x], save) => {
    const at = tf.reshape(index, [-1, 1]);
    save([at]);
    return { value: tf.gatherND(x!, at), gradFunc: (dy, [at]) => tf.scatterND(at as tf.Tensor2D, dy, shape) };
  }, x) as tf.Tensor2D;
}
