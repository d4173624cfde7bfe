import * as tf from '@tensorflow/tfjs-core';
import type { Parameters } from '../../runtime/parameter.js';
import type { BuildOptions, ParameterShape } from '../blueprint.js';
import type { ResidualListener, TextSizes } from '../model.js';
import { siluGate } from './activations.js';
import { attention } from './attention.js';
import { gatherRows } from './gather-rows.js';
import { rmsNorm } from './norms.js';
import { inverseFrequencies, rotary, rotaryTables, type Rope, type RotaryTables } from './rotary.js';

/** The language model of llama, mistral, qwen2 and of the families with a vision tower, as its config.json says. */
export interface DecoderConfiguration extends TextSizes {
  rmsNormEps: number;
  rope: Rope;
  biases: { queryKeyValue: boolean; output: boolean; mlp: boolean };
  /** The output head is the token embedding. */
  tied: boolean;
  /** The farthest position back that is seen, if not all are. */
  window?: number;
}

/**
 * The decoder's parameters, in the order of transformers.
 * @param prefix before their names: `model.`, or `model.language_model.` within a model with a vision tower
 */
export function decoderParameters(configuration: DecoderConfiguration, prefix: string): ParameterShape[] {
  const { layers, width, heads, keyValueHeads, headSize, feedForward, vocabulary, biases } = configuration;
  const parameters: ParameterShape[] = [{ name: `${prefix}embed_tokens.weight`, shape: [vocabulary, width] }];
  const linear = (path: string, out: number, from: number, bias: boolean): void => {
    parameters.push({ name: `${path}.weight`, shape: [out, from] });
    if (bias) parameters.push({ name: `${path}.bias`, shape: [out] });
  };
  for (let layer = 0; layer < layers; layer++) {
    const path = `${prefix}layers.${layer}`;
    linear(`${path}.self_attn.q_proj`, heads * headSize, width, biases.queryKeyValue);
    linear(`${path}.self_attn.k_proj`, keyValueHeads * headSize, width, biases.queryKeyValue);
    linear(`${path}.self_attn.v_proj`, keyValueHeads * headSize, width, biases.queryKeyValue);
    linear(`${path}.self_attn.o_proj`, width, heads * headSize, biases.output);
    linear(`${path}.mlp.gate_proj`, feedForward, width, biases.mlp);
    linear(`${path}.mlp.up_proj`, feedForward, width, biases.mlp);
    linear(`${path}.mlp.down_proj`, width, feedForward, biases.mlp);
    parameters.push({ name: `${path}.input_layernorm.weight`, shape: [width] });
    parameters.push({ name: `${path}.post_attention_layernorm.weight`, shape: [width] });
  }
  parameters.push({ name: `${prefix}norm.weight`, shape: [width] });
  return parameters;
}

/** The head's parameter of every family, behind all others; none where it is tied. */
export const headParameters = ({ tied, vocabulary, width }: DecoderConfiguration): ParameterShape[] =>
  tied ? [] : [{ name: 'lm_head.weight', shape: [vocabulary, width] }];

/**
 * Takes the keys and values that a layer makes of its input, each [B, K, T, D], and returns all that its queries attend
 * to: a cache of earlier positions.
 */
export type KeyValueCache = (
  layer: number,
  keys: tf.Tensor4D,
  values: tf.Tensor4D,
) => { keys: tf.Tensor4D; values: tf.Tensor4D };

export interface DecodeOptions {
  /** [B, T, head size]: the rotary angles of each position. */
  cos: tf.Tensor3D;
  sin: tf.Tensor3D;
  /** [P] int32 indices into B * T: the wanted positions; default: all. Behind the last attention only they are computed. */
  read?: tf.Tensor1D | undefined;
  listener?: ResidualListener | undefined;
  cache?: KeyValueCache;
  /** Added to the attention scores instead of the causal mask: [B, 1, T, S], 0 or -1e9. */
  mask?: tf.Tensor;
}

export interface DecoderOptions extends BuildOptions {
  /** Before the names of the parameters, as in `decoderParameters`. */
  prefix: string;
}

/** A pre-norm transformer decoder with grouped queries and a gated MLP. Its methods run within tf.tidy. */
export class Decoder {
  /** Radians per position of each pair of a head's channels, for `rotaryAngles`. */
  readonly frequencies: Float32Array;
  readonly #prefix: string;
  readonly #recompute: boolean;

  constructor(
    readonly configuration: DecoderConfiguration,
    readonly parameters: Parameters,
    { prefix, recompute = false }: DecoderOptions,
  ) {
    this.frequencies = inverseFrequencies(configuration.headSize, configuration.rope);
    this.#prefix = prefix;
    this.#recompute = recompute;
  }

  /** @param ids [N] int32 @returns [N, width] */
  embed(ids: tf.Tensor1D): tf.Tensor2D {
    return gatherRows(this.parameters.get<tf.Rank.R2>(`${this.#prefix}embed_tokens.weight`), ids);
  }

  /**
   * The residual stream behind the last layer, before the last norm.
   * @param x [B * T, width] @returns [P, width] at the positions `read`
   * @throws Error when T exceeds the attention window
   */
  decode(x: tf.Tensor2D, { cos, sin, read, listener, cache, mask }: DecodeOptions): tf.Tensor2D {
    const { layers, window } = this.configuration;
    if (window !== undefined && cos.shape[1] > window)
      throw new Error(`The model attends within a window of ${window} tokens; ${cos.shape[1]} are given at once.`);
    const { cos: cosines, turn } = rotaryTables(cos, sin);
    const tell = (x: tf.Tensor2D, selected = false): void => listener?.(read && !selected ? gatherRows(x, read) : x);
    tell(x);
    for (let layer = 0; layer < layers; layer++) {
      const path = `${this.#prefix}layers.${layer}`;
      const constants = [cosines, turn, ...[read, mask].filter((tensor) => tensor !== undefined)];
      const last = layer === layers - 1;
      const block = (x: tf.Tensor2D, [cos, turn, ...more]: tf.Tensor[]): tf.Tensor2D => {
        const tables = { cos, turn } as RotaryTables;
        const wanted = last && read ? (more[0] as tf.Tensor1D) : undefined;
        const attended = this.#attend(x, layer, path, { tables, wanted, cache, mask: mask && more.at(-1) });
        tell(attended, last);
        return this.#feedForward(attended, path);
      };
      const recompute = this.#recompute && !listener && !cache;
      x = recompute ? this.parameters.recomputed(`${path}.`, x, constants, block) : block(x, constants);
      tell(x, last);
    }
    return x;
  }

  /** The last norm and the head. @param hidden [P, width] @returns [P, vocabulary] */
  logits(hidden: tf.Tensor2D): tf.Tensor2D {
    const head = this.configuration.tied ? `${this.#prefix}embed_tokens` : 'lm_head';
    return this.parameters.linear(this.#norm(hidden, `${this.#prefix}norm`), head);
  }

  /** x plus its self-attention, at the positions `wanted`. */
  #attend(
    x: tf.Tensor2D,
    layer: number,
    path: string,
    options: {
      tables: RotaryTables;
      wanted: tf.Tensor1D | undefined;
      cache: KeyValueCache | undefined;
      mask: tf.Tensor | undefined;
    },
  ): tf.Tensor2D {
    const { tables, wanted, cache, mask } = options;
    const { heads, keyValueHeads, headSize } = this.configuration;
    const [batch, , length] = tables.cos.shape;
    const normal = this.#norm(x, `${path}.input_layernorm`);
    const project = (name: string, count: number): tf.Tensor4D => {
      const projected = this.parameters.linear(normal, `${path}.self_attn.${name}`);
      return tf.transpose(tf.reshape(projected, [batch, length, count, headSize]), [0, 2, 1, 3]);
    };
    const queries = rotary(project('q_proj', heads), tables);
    let keys = rotary(project('k_proj', keyValueHeads), tables);
    let values = project('v_proj', keyValueHeads);
    if (cache) ({ keys, values } = cache(layer, keys, values));
    const mixed = attention(queries, keys, values, mask ? { mask } : { causal: true });
    let rows = tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [batch * length, heads * headSize]) as tf.Tensor2D;
    if (wanted) [rows, x] = [gatherRows(rows, wanted), gatherRows(x, wanted)];
    return tf.add(x, this.parameters.linear(rows, `${path}.self_attn.o_proj`));
  }

  /** x plus its MLP. */
  #feedForward(x: tf.Tensor2D, path: string): tf.Tensor2D {
    return tf.add(x, this.#mlp(this.#norm(x, `${path}.post_attention_layernorm`), `${path}.mlp`));
  }

  /** With a router, all experts, the model's own MLP first among them, weighed by its softmax. */
  #mlp(x: tf.Tensor2D, path: string): tf.Tensor2D {
    if (!this.parameters.has(`${path}.router.weight`)) return this.#expert(x, path);
    const shares = tf.softmax(this.parameters.linear(x, `${path}.router`));
    const added = Array.from({ length: shares.shape[1]! - 1 }, (_, i) => this.#expert(x, `${path}.experts.${i}`));
    const all = tf.stack([this.#expert(x, path), ...added], 1);
    return tf.sum(tf.mul(all, tf.expandDims(shares, 2)), 1);
  }

  #expert(x: tf.Tensor2D, path: string): tf.Tensor2D {
    const gate = this.parameters.linear(x, `${path}.gate_proj`);
    const up = this.parameters.linear(x, `${path}.up_proj`);
    return this.parameters.linear(siluGate(gate, up), `${path}.down_proj`);
  }

  #norm(x: tf.Tensor2D, path: string): tf.Tensor2D {
    return rmsNorm(x, this.parameters.get<tf.Rank.R1>(`${path}.weight`), this.configuration.rmsNormEps);
  }
}
