import * as tf from '@tensorflow/tfjs-core';
import { bucket, collateAngles } from '../collate.js';
import type { Example, GenerateOptions, HostValues } from '../model.js';
import { upload } from '../upload.js';
import type { Decoder } from './decoder.js';

/** A batch of prompts as the decoder takes them. */
export interface Prompts {
  /** Embeddings of text and pictures, [B * T, width], padded on the right; called within tf.tidy. */
  embed: () => tf.Tensor2D;
  /** [B, T, head size] */
  cos: HostValues;
  sin: HostValues;
  /** Tokens of each prompt, at most T. */
  lengths: readonly number[];
  /** The position of each prompt's first new token, for the rotary angles; default: its length. */
  next?: readonly number[];
}

const defaultBatchSize = 16;
/** What hides a key from a query. */
const hidden = -1e9;

/**
 * Continues prompts greedily until an end token or `maxNewTokens`. Prompts of similar length share a batch.
 * @param prepare makes the decoder's input of one batch
 * @returns the new tokens of each prompt, in the order of the prompts, without the end token
 */
export async function generate(
  decoder: Decoder,
  prompts: readonly Example[],
  options: GenerateOptions,
  prepare: (batch: readonly Example[]) => Prompts,
): Promise<number[][]> {
  const { batchSize = defaultBatchSize } = options;
  const answers: number[][] = [];
  const order = [...prompts.keys()].sort((a, b) => prompts[b]!.ids.length - prompts[a]!.ids.length);
  for (let start = 0; start < order.length; start += batchSize) {
    const batch = order.slice(start, start + batchSize);
    const written = await continueBatch(decoder, prepare(batch.map((at) => prompts[at]!)), options);
    batch.forEach((at, row) => (answers[at] = written[row]!));
  }
  return answers;
}

/** Tensors between two tokens: they keep their shapes, so that every token runs the same compiled functions. */
type State = {
  /** [B] int32: the token written last. */
  next: tf.Tensor1D;
  /** Of each layer, [B, K, S, D]. */
  keys: tf.Tensor4D[];
  values: tf.Tensor4D[];
};

async function continueBatch(decoder: Decoder, prompts: Prompts, options: GenerateOptions): Promise<number[][]> {
  const { maxNewTokens, endIds, between } = options;
  const { lengths, next = lengths } = prompts;
  const answers = lengths.map((): number[] => []);
  const done = lengths.map(() => false);
  if (maxNewTokens === 0) return answers;
  const { window = Infinity } = decoder.configuration;
  const longest = Math.max(...lengths) + maxNewTokens;
  if (longest > window)
    throw new Error(`The model attends within a window of ${window} tokens; prompt and answer have ${longest}.`);
  const slots = bucket(prompts.cos.shape[1]! + maxNewTokens);
  let state = tf.tidy(() => start(decoder, prompts, slots));
  try {
    for (let added = 0; ; added++) {
      const tokens = await state.next.data();
      tokens.forEach((token, row) => {
        if (endIds.includes(token)) done[row] = true;
        if (!done[row]) answers[row]!.push(token);
      });
      if (added + 1 === maxNewTokens || !done.includes(false)) return answers;
      await between?.();
      const before = state;
      const at = (first: readonly number[]): number[] => first.map((position) => position + added);
      state = tf.tidy(() => proceed(decoder, before, slots, at(lengths), at(next)));
      tf.dispose(before);
    }
  } finally {
    tf.dispose(state);
  }
}

/** The first new token, and the cache with the prompts in it. Padding leaves slots that later tokens overwrite. */
function start(decoder: Decoder, { embed, cos, sin, lengths }: Prompts, slots: number): State {
  const length = cos.shape[1]!;
  const cache: Pick<State, 'keys' | 'values'> = { keys: [], values: [] };
  const room = (x: tf.Tensor4D): tf.Tensor4D => tf.pad(x, [[0, 0], [0, 0], [0, slots - length], [0, 0]]); // prettier-ignore
  const residual = decoder.decode(embed(), {
    cos: upload(cos) as tf.Tensor3D,
    sin: upload(sin) as tf.Tensor3D,
    read: tf.tensor1d(
      lengths.map((tokens, row) => row * length + tokens - 1),
      'int32',
    ),
    cache: (_, keys, values) => {
      cache.keys.push(room(keys));
      cache.values.push(room(values));
      return { keys, values };
    },
  });
  return { next: tf.argMax(decoder.logits(residual), 1), ...cache };
}

/**
 * One more token of each prompt.
 * @param at the slot of each prompt's newest token @param positions its position
 */
function proceed(decoder: Decoder, state: State, slots: number, at: number[], positions: number[]): State {
  const batch = at.length;
  const { keyValueHeads, headSize } = decoder.configuration;
  const { cos, sin } = collateAngles(batch, [positions], decoder.frequencies);
  const mask = new Float32Array(batch * slots);
  at.forEach((slot, row) => mask.fill(hidden, row * slots + slot + 1, (row + 1) * slots));
  // The row of each prompt's slot in the cache as a matrix [B * K * S, D].
  const rows = at.flatMap((slot, row) =>
    Array.from({ length: keyValueHeads }, (_, head) => (row * keyValueHeads + head) * slots + slot),
  );
  const index = tf.tensor2d(rows, [rows.length, 1], 'int32');
  const cache: Pick<State, 'keys' | 'values'> = { keys: [], values: [] };
  const written = (all: tf.Tensor4D, x: tf.Tensor4D): tf.Tensor4D => {
    const flat = tf.reshape(all, [-1, headSize]);
    return tf.reshape(tf.tensorScatterUpdate(flat, index, tf.reshape(x, [-1, headSize])), all.shape);
  };
  const residual = decoder.decode(decoder.embed(state.next), {
    cos: upload(cos) as tf.Tensor3D,
    sin: upload(sin) as tf.Tensor3D,
    mask: tf.tensor(mask, [batch, 1, 1, slots]),
    cache: (layer, newKeys, newValues) => {
      const keys = (cache.keys[layer] = written(state.keys[layer]!, newKeys));
      const values = (cache.values[layer] = written(state.values[layer]!, newValues));
      return { keys, values };
    },
  });
  return { next: tf.argMax(decoder.logits(residual), 1), ...cache };
}
