import * as tf from '@tensorflow/tfjs-core';
import { bucket, collateAngles } from '../collate.js';
import type { Example, GenerateOptions, HostInputs, Inputs } from '../model.js';
import { uploadInputs } from '../upload.js';
import type { Decoder } from './decoder.js';

/** A batch of prompts as a family prepares them. */
export interface Prompts {
  /** Of the family's `collate`: T from `cos` and `sin` [B, T, head size], and all that `embed` reads. */
  inputs: HostInputs;
  /** Embeddings of text and pictures, [B * T, width], padded on the right. */
  embed: (inputs: Inputs) => tf.Tensor2D;
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
  const { batchSize = defaultBatchSize, between } = options;
  const answers: number[][] = [];
  const order = [...prompts.keys()].sort((a, b) => prompts[b]!.ids.length - prompts[a]!.ids.length);
  for (let start = 0; start < order.length; start += batchSize) {
    if (start > 0) await between?.();
    const batch = order.slice(start, start + batchSize);
    const written = await continueBatch(decoder, prepare(batch.map((at) => prompts[at]!)), options);
    batch.forEach((at, row) => (answers[at] = written[row]!));
  }
  return answers;
}

/**
 * Tensors between two tokens, of which every token makes new ones of the same shapes: `token` [B] int32, the one written
 * last, and of each layer `keys N` and `values N` [B, K, slots, D].
 */
type State = tf.NamedTensorMap;

/** Runs functions of the decoder, compiled if there are programs. */
function runner(decoder: Decoder, { programs }: GenerateOptions) {
  return (name: string, inputs: HostInputs, state: State, body: (inputs: Inputs) => State): State => {
    const uploaded = uploadInputs(inputs);
    try {
      const run = (): State => body(uploaded);
      if (!programs) return tf.tidy(run);
      const parameters = [...decoder.parameters];
      return programs.run(name, [...Object.values(uploaded), ...Object.values(state)], parameters, run);
    } finally {
      tf.dispose(Object.values(uploaded));
    }
  };
}

async function continueBatch(decoder: Decoder, prompts: Prompts, options: GenerateOptions): Promise<number[][]> {
  const { maxNewTokens, endIds, between } = options;
  const { inputs, embed, lengths, next = lengths } = prompts;
  const answers = lengths.map((): number[] => []);
  if (maxNewTokens === 0) return answers;
  const { window = Infinity, keyValueHeads } = decoder.configuration;
  const longest = Math.max(...lengths) + maxNewTokens;
  if (longest > window)
    throw new Error(`The model attends within a window of ${window} tokens; prompt and answer have ${longest}.`);
  const done = lengths.map(() => false);
  const length = inputs['cos']!.shape[1]!;
  const slots = bucket(length + maxNewTokens);
  const last = lengths.map((tokens, row) => row * length + tokens - 1);
  const run = runner(decoder, options);
  const read = { shape: [last.length], data: Int32Array.from(last) };
  let state = run(`start of answers in ${slots} slots`, { ...inputs, read }, {}, (inputs) =>
    start(decoder, inputs, embed, slots),
  );
  try {
    for (let added = 0; ; added++) {
      const tokens = await state['token']!.data();
      tokens.forEach((token, row) => {
        if (endIds.includes(token)) done[row] = true;
        if (!done[row]) answers[row]!.push(token);
      });
      if (added + 1 === maxNewTokens || !done.includes(false)) return answers;
      await between?.();
      const before = state;
      const at = lengths.map((tokens) => tokens + added);
      const positions = next.map((position) => position + added);
      const step = { ...stepInputs(at, slots, keyValueHeads), ...collateAngles(at.length, [positions], decoder.frequencies) }; // prettier-ignore
      state = run('another token of each answer', step, before, (inputs) => proceed(decoder, before, inputs));
      tf.dispose(before);
    }
  } finally {
    tf.dispose(state);
  }
}

/** The first new token, and the cache with the prompts in it. Padding leaves slots that later tokens overwrite. */
function start(decoder: Decoder, inputs: Inputs, embed: Prompts['embed'], slots: number): State {
  const { cos, sin, read } = inputs;
  const length = cos!.shape[1]!;
  const cache: State = {};
  const room = (x: tf.Tensor4D): tf.Tensor => tf.pad(x, [[0, 0], [0, 0], [0, slots - length], [0, 0]]); // prettier-ignore
  const residual = decoder.decode(embed(inputs), {
    cos: cos as tf.Tensor3D,
    sin: sin as tf.Tensor3D,
    read: read as tf.Tensor1D,
    cache: (layer, keys, values) => {
      cache[`keys ${layer}`] = room(keys);
      cache[`values ${layer}`] = room(values);
      return { keys, values };
    },
  });
  return { token: tf.argMax(decoder.logits(residual), 1), ...cache };
}

/**
 * What a further token of each prompt needs beside its rotary angles.
 * @param at the slot of each prompt's newest token
 */
function stepInputs(at: readonly number[], slots: number, keyValueHeads: number): HostInputs {
  const mask = new Float32Array(at.length * slots);
  at.forEach((slot, row) => mask.fill(hidden, row * slots + slot + 1, (row + 1) * slots));
  // The row of each prompt's slot in the cache as a matrix [B * K * S, D].
  const rows = at.flatMap((slot, row) =>
    Array.from({ length: keyValueHeads }, (_, head) => (row * keyValueHeads + head) * slots + slot),
  );
  return {
    mask: { shape: [at.length, 1, 1, slots], data: mask },
    rows: { shape: [rows.length, 1], data: Int32Array.from(rows) },
  };
}

/** One more token of each prompt. */
function proceed(decoder: Decoder, state: State, { cos, sin, mask, rows }: Inputs): State {
  const { headSize } = decoder.configuration;
  const cache: State = {};
  const written = (name: string, x: tf.Tensor): tf.Tensor4D => {
    const all = state[name]!;
    const flat = tf.reshape(all, [-1, headSize]);
    const updated = tf.tensorScatterUpdate(flat, rows as tf.Tensor2D, tf.reshape(x, [-1, headSize]));
    return (cache[name] = tf.reshape(updated, all.shape)) as tf.Tensor4D;
  };
  const residual = decoder.decode(decoder.embed(state['token'] as tf.Tensor1D), {
    cos: cos as tf.Tensor3D,
    sin: sin as tf.Tensor3D,
    mask: mask!,
    cache: (layer, keys, values) => ({
      keys: written(`keys ${layer}`, keys),
      values: written(`values ${layer}`, values),
    }),
  });
  return { token: tf.argMax(decoder.logits(residual), 1), ...cache };
}
