import * as tf from '@tensorflow/tfjs-core';
import { collate, toDevice } from '../data/batch.js';
import type { Example } from '../data/task.js';
import type { VisionLanguageModel } from '../model/vision-language-model.js';
import type { Tokenizer } from '../tokenizer.js';

/**
 * Which examples are answered right. An answer is right when the most likely token is the right one at each of its
 * positions, the end included, given the right tokens before: exactly when greedy decoding gives that answer.
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

/** Rows whose tokens equal their targets wherever the mask is 1. All are [B, T] row by row. */
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

/** Share of true ones, in percent; NaN when there are none at all. */
export const percentTrue = (flags: readonly boolean[]): number =>
  (100 * flags.filter((flag) => flag).length) / flags.length;
