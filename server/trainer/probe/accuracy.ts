import * as tf from '@tensorflow/tfjs-core';
import { collate, toDevice } from '../data/batch.js';
import type { Example } from '../data/task.js';
import type { VisionLanguageModel } from '../model/vision-language-model.js';
import type { Tokenizer } from '../tokenizer.js';

/**
 * Share of examples answered right, in percent. An answer is right when the most likely token is the right one at each
 * of its positions, the end included, given the right tokens before: exactly when greedy decoding gives that answer.
 */
export async function answerAccuracy(
  model: VisionLanguageModel,
  tokenizer: Tokenizer,
  examples: readonly Example[],
  length: number,
): Promise<number> {
  const host = collate(examples, tokenizer, length);
  const batch = toDevice(host);
  const predicted = tf.tidy(() => tf.argMax(model.forward(batch), -1));
  const tokens = await predicted.data();
  tf.dispose([predicted, batch.images, batch.inputIds, batch.targetIds, batch.lossMask]);
  return percentRight(tokens, host.targetIds, host.lossMask, length);
}

/** Rows whose tokens equal their targets wherever the mask is 1, in percent. All are [B, T] row by row. */
export function percentRight(
  tokens: ArrayLike<number>,
  targets: ArrayLike<number>,
  mask: ArrayLike<number>,
  length: number,
): number {
  const rows = targets.length / length;
  let right = 0;
  for (let row = 0; row < rows; row++) {
    let all = true;
    for (let i = row * length; i < (row + 1) * length; i++) if (mask[i] && tokens[i] !== targets[i]) all = false;
    if (all) right++;
  }
  return (right / rows) * 100;
}
