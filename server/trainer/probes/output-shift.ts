import * as tf from '@tensorflow/tfjs-core';

/**
 * Measures of the shift of output distributions on the device, for vocabularies that are too large to read back: a few
 * numbers a position cross to the host. `distribution.ts` has the same measures on the host. Call them within tf.tidy,
 * with as many positions at a time as memory allows.
 */

/** Columns of `shiftMeasures`. */
export const shiftColumns = ['kl', 'js', 'entropy', 'agrees'] as const;

/**
 * KL(base || now), the Jensen-Shannon divergence and the entropy of `now` in nats, and 1 where both have the same
 * likeliest token.
 * @param base, now logits [P, V] @returns [P, 4], in the order of `shiftColumns`
 */
export function shiftMeasures(base: tf.Tensor2D, now: tf.Tensor2D): tf.Tensor2D {
  const [before, after] = [tf.logSoftmax(base), tf.logSoftmax(now)];
  const [p, q] = [tf.exp(before), tf.exp(after)];
  // The logarithm of the mixture from logarithms: where both probabilities underflow, its own would be of 0.
  const mixed = tf.sub(
    tf.add(tf.maximum(before, after), tf.log1p(tf.exp(tf.neg(tf.abs(tf.sub(before, after)))))),
    Math.LN2,
  );
  const expected = (of: tf.Tensor, logarithms: tf.Tensor): tf.Tensor => tf.sum(tf.mul(of, logarithms), 1);
  const kl = expected(p, tf.sub(before, after));
  const js = tf.mul(tf.add(expected(p, tf.sub(before, mixed)), expected(q, tf.sub(after, mixed))), 0.5);
  const agrees = tf.cast(tf.equal(tf.argMax(base, 1), tf.argMax(now, 1)), 'float32');
  return tf.stack([kl, js, tf.neg(expected(q, after)), agrees], 1) as tf.Tensor2D;
}

/**
 * The probability mass of some tokens at each position.
 * @param logits [P, V] @param tokens [V], 1 for the tokens, else 0 @returns [P]
 */
export const massOf = (logits: tf.Tensor2D, tokens: tf.Tensor1D): tf.Tensor1D =>
  tf.reshape(tf.matMul(tf.softmax(logits), tf.reshape(tokens, [-1, 1])), [-1]);

/**
 * How much probability each token has gained against the base, summed over positions.
 * @param base, now logits [P, V] @returns [V]; its values add up to 0
 */
export const tokenGains = (base: tf.Tensor2D, now: tf.Tensor2D): tf.Tensor1D =>
  tf.sum(tf.sub(tf.softmax(now), tf.softmax(base)), 0);

/** A token and the mass that it gained (or lost, below 0) per position. */
export interface TokenGain {
  token: number;
  gain: number;
}

/**
 * The tokens that gained and the tokens that lost most, largest first.
 * @param gains [V] of `tokenGains`, added up over all positions @param positions their number
 * @param count of each; fewer where fewer tokens have gained or lost
 */
export async function largestGains(
  gains: tf.Tensor1D,
  positions: number,
  count: number,
): Promise<{ gained: TokenGain[]; lost: TokenGain[] }> {
  const most = Math.min(count, gains.size);
  const select = async (sign: 1 | -1): Promise<TokenGain[]> => {
    const { values, indices } = tf.tidy(() => tf.topk(tf.mul(gains, sign), most));
    const [sizes, tokens] = [await values.data(), await indices.data()];
    tf.dispose([values, indices]);
    return [...tokens].flatMap((token, i) => {
      const gain = (sign * sizes[i]!) / positions;
      return sizes[i]! > 0 ? [{ token, gain }] : [];
    });
  };
  return { gained: await select(1), lost: await select(-1) };
}
