import * as tf from '@tensorflow/tfjs-core';

/**
 * What a head does with hidden states, as products of its width: W^T W and, where the head itself was trained, the
 * products with its change D = W - W0. They replace the vocabulary in norms of logits.
 */
export interface HeadGram {
  /** W^T W [C, C] */
  head: tf.Tensor2D;
  /** W^T D and D^T D [C, C]; absent while the head is the base's. */
  moved?: { across: tf.Tensor2D; change: tf.Tensor2D };
}

/** Rows of the vocabulary at a time: the head's change is never whole in memory. */
const rowsAtOnce = 16_384;

/**
 * Works out the products of a head, slice by slice of its vocabulary. The caller disposes them.
 * @param head [V, C] @param base the base's head, if it has another one
 */
export function headGram(head: tf.Tensor2D, base?: tf.Tensor2D): HeadGram {
  const [rows, width] = head.shape;
  const sums = tf.tidy(() => {
    let sums = [tf.zeros<tf.Rank.R2>([width, width])];
    if (base) sums.push(tf.zeros([width, width]), tf.zeros([width, width]));
    for (let from = 0; from < rows; from += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, rows - from);
      const now = tf.slice(head, [from, 0], [count, width]);
      const change = base && tf.sub(now, tf.slice(base, [from, 0], [count, width]));
      const products = [
        tf.matMul(now, now, true),
        ...(change ? [tf.matMul(now, change, true), tf.matMul(change, change, true)] : []),
      ];
      sums = sums.map((sum, i) => tf.add(sum, products[i]!));
    }
    return sums;
  });
  const [all, across, change] = sums as [tf.Tensor2D, tf.Tensor2D?, tf.Tensor2D?];
  return { head: all, ...(across && change && { moved: { across, change } }) };
}

/**
 * How far a block's own logits have moved, token by token: || W u - W0 u0 ||_2 over the vocabulary, where u is the
 * block's output (arXiv 2510.08564, layer_contribution_delta_analysis.py, which works with W^T W, W^T W0 and W0^T W0).
 *
 * W u - W0 u0 = W (u - u0) + D u0. Written so, close states give an exact small number: the three products of whole
 * states cancel almost all their digits.
 * @param now u [P, C] @param base u0 [P, C] @returns [P]
 */
export function contributionDelta(now: tf.Tensor2D, base: tf.Tensor2D, { head, moved }: HeadGram): tf.Tensor1D {
  return tf.tidy(() => {
    const step: tf.Tensor2D = tf.sub(now, base);
    const quadratic = (a: tf.Tensor2D, gram: tf.Tensor2D, b: tf.Tensor2D): tf.Tensor =>
      tf.sum(tf.mul(tf.matMul(a, gram), b), 1);
    const parts = [quadratic(step, head, step)];
    if (moved) parts.push(tf.mul(quadratic(step, moved.across, base), 2), quadratic(base, moved.change, base));
    // Rounding may leave a square of zero slightly negative.
    return tf.sqrt(tf.relu(tf.addN(parts))) as tf.Tensor1D;
  });
}
