import * as tf from '@tensorflow/tfjs-core';
import { noLabel, type Example, type Model } from '../models/model.js';
import { uploadInputs } from '../models/upload.js';
import type { Programs } from '../runtime/program.js';

/**
 * Whether each example is answered right: the most likely token is the right one at each position of the answer,
 * including its end, given the right tokens before. This holds exactly when greedy decoding gives the answer.
 */
export async function answersRight(model: Model, programs: Programs, examples: readonly Example[]): Promise<boolean[]> {
  const inputs = uploadInputs(model.collate(examples));
  const { tokens } = programs.run('likeliest tokens', Object.values(inputs), [...model.parameters], () => ({
    tokens: tf.argMax(model.logits(model.hidden(inputs)), -1),
  }));
  const likeliest = await tokens!.data();
  tf.dispose([tokens!, ...Object.values(inputs)]);
  return examplesRight(likeliest, examples);
}

/** @param tokens the likeliest token of each label of the examples, in their order */
export function examplesRight(tokens: ArrayLike<number>, examples: readonly Example[]): boolean[] {
  let at = 0;
  return examples.map((example) =>
    wantedTokens(example)
      .map((token) => tokens[at++] === token)
      .every(Boolean),
  );
}

/** The tokens that are predicted in an example: its labels. The first token has none before it to predict it. */
export const wantedTokens = ({ labels }: Example): number[] => [...labels.subarray(1)].filter((id) => id !== noLabel);

/** The percentage of true flags; NaN for an empty list. */
export const percentTrue = (flags: readonly boolean[]): number =>
  (100 * flags.filter((flag) => flag).length) / flags.length;
