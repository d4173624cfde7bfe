import * as tf from '@tensorflow/tfjs-core';
import { collate, toDevice } from '../data/batch.js';
import type { Example } from '../data/task.js';
import type { VisionLanguageModel } from '../model/vision-language-model.js';
import type { Tokenizer } from '../tokenizer.js';

/**
 * Whether each example is answered right: the most likely token is the right one at each position of the answer,
 * including its end, given the right tokens before. This holds exactly when greedy decoding gives the answer.
 * @param length T, text positions of a row
 */
export async function answersRight(
  model: VisionLanguageModel,
  tokenizer: Tokenizer,
  examples: readonly Example[],
  length: number,
): Promise<boolean[]> {
  const host = collate(examples, tokenizer, length);
  const batch = toDevice(host);
  const predicted = tf.tidy(() => tf.argMax(model.forward(batch), -1));
  const tokens = await predicted.data();
  tf.dispose([predicted, batch.images, batch.inputIds, batch.targetIds, batch.lossMask]);
  return rowsRight(tokens, host.targetIds, host.lossMask, length);
}

/** Whether the tokens of each row equal its targets wherever the mask is 1. All are [B, T] row by row. */
export function rowsRight(
  tokens: ArrayLike<number>,
  targets: ArrayLike<number>,
  mask: ArrayLike<number>,
  length: number,
): boolean[] {
  return Array.from({ length: targets.length / length }, (_, row) => {
    for (let i = row * length; i < (row + 1) * length; i++) if (mask[i] && tokens[i] !== targets[i]) return false;
    return true;
  });
}

/** The percentage of true flags; NaN for an empty list. */
export const percentTrue = (flags: readonly boolean[]): number =>
  (100 * flags.filter((flag) => flag).length) / flags.length;
