import * as tf from '@tensorflow/tfjs-core';

/**
 * The contribution of each decoder block to the logits: c = logits(h + u) - logits(h), where h is the residual stream
 * before the block, u the block's update and logits() the final norm and output head. All contributions add up to the
 * output less the logits of the token embedding alone. Definition: layer contribution change, arXiv 2510.08564. Call it
 * within tf.tidy.
 * @param residuals 2 L + 1 tensors [P, C]: before the first block and after each one
 * @returns [2 L, P, V]: attention and MLP alternating, layer after layer
 */
export function contributions(
  residuals: readonly tf.Tensor2D[],
  logits: (residual: tf.Tensor2D) => tf.Tensor2D,
): tf.Tensor3D {
  const [positions] = residuals[0]!.shape;
  const flat = logits(tf.concat([...residuals], 0));
  // Given explicitly: without positions no vocabulary size could be inferred.
  const all = tf.reshape(flat, [residuals.length, positions, flat.shape[1]]);
  const blocks = residuals.length - 1;
  return tf.sub(tf.slice(all, [1, 0, 0], [blocks, -1, -1]), tf.slice(all, [0, 0, 0], [blocks, -1, -1]));
}

/**
 * The change of each block's contribution, in logits; exactly 0 if there is none.
 * @param base, now [2 L, P, V] from `contributions`
 * @param numberIds at least one
 * @returns for each block the root mean square of now - base over positions and vocabulary, and the mean over positions
 *   of (mean over the number tokens - mean over the vocabulary) of now - base
 */
export async function contributionShift(
  base: tf.Tensor3D,
  now: tf.Tensor3D,
  numberIds: readonly number[],
): Promise<{ change: number[]; numberPush: number[] }> {
  const [blocks, , vocabSize] = base.shape;
  const weights = new Float32Array(vocabSize).fill(-1 / vocabSize);
  for (const id of numberIds) weights[id]! += 1 / numberIds.length;
  const both = tf.tidy(() => {
    const moved = tf.sub(now, base);
    const push = tf.sum(tf.mul(tf.mean(moved, 1), tf.tensor1d(weights)), 1);
    return tf.stack([tf.sqrt(tf.mean(tf.square(moved), [1, 2])), push]);
  });
  const values = Array.from(await both.data());
  both.dispose();
  return { change: values.slice(0, blocks), numberPush: values.slice(blocks) };
}
