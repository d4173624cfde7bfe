import type * as tf from '@tensorflow/tfjs-core';
import type { ModelInfo } from '@plumbline/shared/parameter';
import type { Parameters } from '../runtime/parameter.js';
import type { Programs } from '../runtime/program.js';

/** A prepared question with its answer, on the host. */
export interface Example {
  /** [T] token ids of prompt and answer, with one placeholder for each visual token. */
  ids: Int32Array;
  /** [T]: labels[t] is the token wanted at t, predicted from the positions before it; -100 where none is. */
  labels: Int32Array;
  /** In the order of their placeholders. */
  pictures: readonly PreparedPicture[];
}

/** The label of a position without loss, as in transformers. */
export const noLabel = -100;

/** A picture as its family's vision tower takes it. */
export interface PreparedPicture {
  /** [rows, values of a patch], normalised and flattened, so that the patch convolution is a product. */
  patches: Float32Array;
  rows: number;
  /** Placeholders that the picture takes in the text. */
  tokens: number;
  /** Height and width in patches of each tile, in the tower's order. */
  grids: readonly (readonly [height: number, width: number])[];
  /** Height and width of the picture in pixels, before any resizing. */
  size: readonly [height: number, width: number];
}

/** Values of a tensor on the host, to be uploaded. */
export interface HostValues {
  shape: number[];
  data: Float32Array | Int32Array;
}

/**
 * Inputs of a forward pass by name. Integers such as lengths, grids and positions are worked out on the host; a forward
 * pass never branches on values. Every family has:
 * - `ids` [B, T] int32, padded on the right;
 * - `cos`, `sin` [B, T, head size]: the rotary angles of each position;
 * - `read` [P] int32: indices into B * T, the positions whose hidden state is wanted;
 * - `targets` [P] int32 and `weights` [P]: the wanted tokens and their share in the loss; padding has weight 0.
 *
 * Families with a vision tower add `patches` [R, values], `place` [B * T] int32 (the row of each position in the text
 * embeddings followed by the visual features) and inputs of their own.
 */
export type HostInputs = Readonly<Record<string, HostValues>>;
export type Inputs = Readonly<Record<string, tf.Tensor>>;

/** The residual stream is read before the first block and after each; attention and MLP alternate. */
export type ResidualListener = (x: tf.Tensor2D) => void;

/** Sizes of the language model. */
export interface TextSizes {
  layers: number;
  width: number;
  heads: number;
  keyValueHeads: number;
  headSize: number;
  feedForward: number;
  vocabulary: number;
}

/** A model of any family. Its methods that take tensors run within tf.tidy. */
export interface Model {
  /** The `model_type` of its config.json. */
  readonly family: string;
  readonly text: TextSizes;
  readonly parameters: Parameters;
  /** Parameters with their roles, and the recipes. */
  describe(): ModelInfo;
  /**
   * Collates examples into one batch.
   * @param options.length T, at least the longest example; the shapes of all inputs depend on it, the number of
   *   examples, answer positions and pictures only, each rounded up to a bucket
   * @throws Error naming the example when the pictures' visual tokens do not match its placeholders, or it is too long
   */
  collate(examples: readonly Example[], options?: { length?: number }): HostInputs;
  /**
   * The residual stream after the last block, before the final norm, at the positions `read`.
   * @returns [P, width]
   */
  hidden(inputs: Inputs, listener?: ResidualListener): tf.Tensor2D;
  /**
   * The visual features of the batch's pictures, as they enter the text. `hidden` takes them from the input `features`
   * where it is given: pictures that come again need no second pass.
   * @returns [rows, width]
   */
  features?(inputs: Inputs): tf.Tensor2D;
  /** The final norm and the head. @param hidden [P, width] @returns logits [P, vocabulary] */
  logits(hidden: tf.Tensor2D): tf.Tensor2D;
  /**
   * Continues prompts greedily, in batches with a key/value cache.
   * @param prompts examples without an answer
   * @param options.between is awaited between batches and between tokens: the control point
   * @returns the new tokens of each prompt, without the end token
   */
  generate(prompts: readonly Example[], options: GenerateOptions): Promise<number[][]>;
  dispose(): void;
}

export interface GenerateOptions {
  maxNewTokens: number;
  /** Any of these ends an answer. */
  endIds: readonly number[];
  batchSize?: number;
  /** Compiles what writes a token; without them it runs operation by operation. */
  programs?: Programs;
  between?: () => Promise<void>;
}
