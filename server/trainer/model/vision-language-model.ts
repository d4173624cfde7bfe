import * as tf from '@tensorflow/tfjs-core';
import type { ModelInfo } from '@plumbline/shared/parameter';
import { Rng } from '@plumbline/shared/rng';
import { describeModel } from '../models/parameter-roles.js';
import { Parameters } from '../runtime/parameter.js';
import { hostValues, makeParameter } from '../runtime/variable.js';
import {
  attentionWeights,
  maskedCrossEntropy,
  quickGelu,
  rmsNorm,
  rotary,
  rotaryTables,
  siluGate,
  type RotaryTables,
} from './layers.js';
import {
  imageTokens,
  parameterShapes,
  requireWeights,
  startingWeights,
  type HostTensor,
  type ModelConfig,
} from './model-config.js';

export type { HostTensor };

/** One batch on the device. B examples, T text positions, S = imageSize. */
export interface ModelBatch {
  /** [B, S, S, 3], normalised as in the base's training: (pixel - mean) / standard deviation; about -1.2..2.8 */
  images: tf.Tensor4D;
  /** [B, T] int32, prompt and answer, padded on the right with 0 */
  inputIds: tf.Tensor2D;
  /** [B, T] int32, the token that follows each position */
  targetIds: tf.Tensor2D;
  /** [B, T], 1 where the answer (and its end) is predicted, else 0 */
  lossMask: tf.Tensor2D;
}

/** The objective that training minimises, from the logits [N, V] at the text positions of a batch, N = B * T. */
export type Objective = (logits: tf.Tensor2D, batch: ModelBatch) => tf.Scalar;

/** Mean cross-entropy over the answer positions, in nats. */
export const answerLoss: Objective = (logits, { targetIds, lossMask }) =>
  maskedCrossEntropy(logits, tf.reshape(targetIds, [-1]), tf.reshape(lossMask, [-1]));

/** Keys and values of the positions so far, one entry a decoder layer, each [B, H, positions, D]. */
type KeyValueCache = { keys: tf.Tensor4D; values: tf.Tensor4D }[];

/**
 * A small vision-language transformer with the shape of LLaVA and Qwen2.5-VL: image patches -> vision encoder ->
 * projector -> decoder over [image tokens; text tokens]. Parameters carry Hugging Face's paths.
 *
 * Text is padded on the right; attention is causal, so no real token ever sees the padding.
 */
export class VisionLanguageModel {
  /** In the fixed order of `parameterShapes`. */
  readonly parameters: Parameters;
  readonly #rotary: RotaryTables;
  /** [N, N] over all N positions: 0 where a position may attend, -1e9 ahead of it. */
  readonly #causal: tf.Tensor2D;

  private constructor(
    readonly config: ModelConfig,
    values: (name: string) => Float32Array,
  ) {
    const positions = imageTokens(config) + config.maxTextTokens;
    this.parameters = new Parameters(
      parameterShapes(config).map(({ name, shape }) =>
        makeParameter(name, () => tf.tensor(values(name), shape, 'float32')),
      ),
      config.lora,
    );
    this.#rotary = rotaryTables(positions, config.hiddenSize / config.heads, config.ropeTheta);
    const mask = new Float32Array(positions * positions);
    for (let row = 0; row < positions; row++) mask.fill(-1e9, row * positions + row + 1, (row + 1) * positions);
    this.#causal = tf.keep(tf.tensor2d(mask, [positions, positions]));
  }

  /** Fresh weights. */
  static initialize(config: ModelConfig, seed: number): VisionLanguageModel {
    return VisionLanguageModel.fromTensors(config, startingWeights(parameterShapes(config), new Rng(seed)));
  }

  /**
   * The base's weights, with fresh ones for parameters that `config` adds to a plain model.
   * @throws Error naming a parameter that is missing in the base, unknown or of another shape
   */
  static extend(config: ModelConfig, base: ReadonlyMap<string, HostTensor>, seed: number): VisionLanguageModel {
    const added = parameterShapes(config).filter(({ fixed }) => !fixed);
    return VisionLanguageModel.fromTensors(config, startingWeights(added, new Rng(seed), base));
  }

  /** @throws Error naming a parameter that is missing, unknown or of another shape */
  static fromTensors(config: ModelConfig, tensors: ReadonlyMap<string, HostTensor>): VisionLanguageModel {
    requireWeights(config, tensors);
    return new VisionLanguageModel(config, (name) => tensors.get(name)!.data);
  }

  /** The tables that a forward pass reads beside the parameters. */
  get tables(): tf.Tensor[] {
    const { cos, sin, turn } = this.#rotary;
    return [cos, sin, turn, this.#causal];
  }

  /** Copies all parameters to the host. */
  async toTensors(): Promise<Map<string, HostTensor>> {
    const tensors = new Map<string, HostTensor>();
    for (const parameter of this.parameters)
      tensors.set(parameter.name, { shape: [...parameter.shape], data: await hostValues(parameter) });
    return tensors;
  }

  /** Overwrites the given parameters with values from the host. */
  assign(tensors: ReadonlyMap<string, HostTensor>): void {
    for (const [name, { data, shape }] of tensors) {
      const value = tf.tensor(data, shape, 'float32');
      this.parameters.parameter(name).assign(value);
      value.dispose();
    }
  }

  /** The model's parameters, their roles and the recipes. The vision tower is one group. */
  describe(): ModelInfo {
    const parameters = parameterShapes(this.config).map(({ name, shape, fixed }) => ({
      name,
      shape,
      size: tf.util.sizeFromShape(shape),
      ...(fixed && { fixed }),
    }));
    return describeModel('plumbline-base', parameters, { wholeVision: true });
  }

  /**
   * The effective weights by name: each weight with its adapters merged in, W + alpha / rank B A. A plain model with
   * these weights is the same function. Call it within tf.tidy, which disposes the merged weights.
   */
  effectiveWeights(): Record<string, tf.Tensor> {
    const names = this.parameters.names.filter((name) => !/\.lora_[AB]\.weight$/.test(name));
    return Object.fromEntries(names.map((name) => [name, this.parameters.effective(name)]));
  }

  /** @returns logits [B, T, V] at the text positions: row t predicts the token after text position t */
  forward(batch: Pick<ModelBatch, 'images' | 'inputIds'>): tf.Tensor3D {
    return tf.tidy(() => {
      const [batchSize, length] = batch.inputIds.shape;
      const { vocabSize } = this.config;
      const embedded = tf.concat([this.imageEmbeddings(batch.images), this.#textEmbeddings(batch.inputIds)], 1);
      const text = this.#decode(embedded as tf.Tensor3D, { read: lastPositions(batchSize, length) });
      return tf.reshape(this.head(text), [batchSize, length, vocabSize]);
    });
  }

  /**
   * The residual stream at chosen text positions: before the decoder's first block and after each block, with attention
   * and MLP alternating. `head` of the last one equals `forward` at these positions.
   * @param seen [B, N, C], `imageEmbeddings` of the pictures
   * @param inputIds [B, T] @param positions P indices into [B, T] row by row
   * @returns 2 L + 1 tensors [P, C], L decoder layers
   */
  residuals(seen: tf.Tensor3D, inputIds: tf.Tensor2D, positions: readonly number[]): tf.Tensor2D[] {
    return tf.tidy(() => {
      const length = inputIds.shape[1];
      const embedded = tf.concat([seen, this.#textEmbeddings(inputIds)], 1);
      // The place of text position t of row b in [B, N + T]: N image tokens precede the text of each row. Computed on
      // the host, because a recorded function must gather by given indices, not computed ones.
      const at = tf.tensor1d(
        positions.map((position) => position + (Math.floor(position / length) + 1) * seen.shape[1]),
        'int32',
      );
      const residuals: tf.Tensor2D[] = [];
      this.#decode(embedded as tf.Tensor3D, { read: (x) => tf.gather(x, at), residuals });
      return residuals;
    });
  }

  /** @returns the objective on the batch, in nats */
  loss(batch: ModelBatch, objective: Objective = answerLoss): tf.Scalar {
    return tf.tidy(() => objective(tf.reshape(this.forward(batch), [-1, this.config.vocabSize]), batch));
  }

  /**
   * Loss and its gradients for the parameters in `trainable` only: frozen parameters cost no backward pass. The caller
   * disposes both.
   */
  lossAndGradients(
    batch: ModelBatch,
    trainable: readonly string[],
    objective: Objective = answerLoss,
  ): { loss: tf.Scalar; gradients: Map<string, tf.Tensor> } {
    return this.parameters.gradients(trainable, () => this.loss(batch, objective));
  }

  /**
   * Greedy decoding until `endId` or `maxNewTokens`.
   * @param images [B, S, S, 3] @param promptIds B prompts of equal length
   * @param options.useCache keep keys and values of earlier positions instead of computing them again
   * @returns the new tokens of each prompt, without `endId`
   */
  async generate(
    images: tf.Tensor4D,
    promptIds: readonly (readonly number[])[],
    options: { maxNewTokens: number; endId: number; useCache?: boolean },
  ): Promise<number[][]> {
    const { maxNewTokens, endId, useCache = true } = options;
    const length = promptIds[0]?.length ?? 0;
    if (promptIds.some((prompt) => prompt.length !== length)) throw new Error('Prompts of one call have equal length.');
    if (length + maxNewTokens > this.config.maxTextTokens)
      throw new Error(`${length} prompt and ${maxNewTokens} new tokens exceed ${this.config.maxTextTokens}.`);
    const ids = promptIds.map((prompt) => [...prompt]);
    const done = ids.map(() => false);
    const cache: KeyValueCache | undefined = useCache ? [] : undefined;
    let position = 0;
    for (let added = 0; added < maxNewTokens && done.includes(false); added++) {
      const next = tf.tidy(() => {
        const text = (from: number): tf.Tensor3D =>
          this.#textEmbeddings(
            tf.tensor2d(
              ids.map((row) => row.slice(from)),
              undefined,
              'int32',
            ),
          );
        const embedded =
          position === 0 ? tf.concat([this.imageEmbeddings(images), text(0)], 1) : text(length + added - 1);
        const last = this.#decode(embedded as tf.Tensor3D, {
          read: lastPositions(images.shape[0], 1),
          start: position,
          ...(cache ? { cache } : {}),
        });
        if (cache) position += embedded.shape[1]!;
        return tf.argMax(this.head(last), 1);
      });
      const tokens = await next.data();
      next.dispose();
      ids.forEach((row, i) => {
        row.push(tokens[i]!);
        if (tokens[i] === endId) done[i] = true;
      });
    }
    cache?.forEach(({ keys, values }) => tf.dispose([keys, values]));
    return ids.map((row) => {
      const answer = row.slice(length);
      const end = answer.indexOf(endId);
      return end < 0 ? answer : answer.slice(0, end);
    });
  }

  dispose(): void {
    this.parameters.dispose();
    tf.dispose(this.tables);
  }

  /** x [N, in] -> [N, out], with the bias if there is one. */
  #linear(x: tf.Tensor2D, path: string): tf.Tensor2D {
    return this.parameters.linear(x, path);
  }

  #norm(x: tf.Tensor2D, path: string): tf.Tensor2D {
    return rmsNorm(x, this.parameters.get<tf.Rank.R1>(`${path}.weight`), this.config.rmsNormEps);
  }

  /** images [B, S, S, 3] -> projected image tokens [B, N, C]. Call it within tf.tidy. */
  imageEmbeddings(images: tf.Tensor4D): tf.Tensor3D {
    const { hiddenSize, imageSize, patchSize, visionLayers } = this.config;
    const batchSize = images.shape[0];
    const grid = imageSize / patchSize;
    // Patches row by row, pixels of a patch row by row, channels innermost.
    const patches = tf.transpose(
      tf.reshape(images, [batchSize, grid, patchSize, grid, patchSize, 3]),
      [0, 1, 3, 2, 4, 5],
    );
    const embedded = this.#linear(
      tf.reshape(patches, [batchSize * grid * grid, patchSize * patchSize * 3]),
      'vision_tower.embeddings.patch_embedding',
    );
    const positioned = tf.add(
      tf.reshape(embedded, [batchSize, grid * grid, hiddenSize]),
      this.parameters.get('vision_tower.embeddings.position_embedding.weight'),
    );
    let x = tf.reshape(positioned, [batchSize * grid * grid, hiddenSize]) as tf.Tensor2D;
    for (let layer = 0; layer < visionLayers; layer++) {
      const path = `vision_tower.encoder.layers.${layer}`;
      x = tf.add(x, this.#attention(this.#norm(x, `${path}.layer_norm1`), batchSize, `${path}.self_attn`));
      const inner = quickGelu(this.#linear(this.#norm(x, `${path}.layer_norm2`), `${path}.mlp.fc1`));
      x = tf.add(x, this.#linear(inner, `${path}.mlp.fc2`));
    }
    x = this.#norm(x, 'vision_tower.post_layernorm');
    x = quickGelu(this.#linear(x, 'multi_modal_projector.linear_1'));
    return tf.reshape(this.#linear(x, 'multi_modal_projector.linear_2'), [batchSize, grid * grid, hiddenSize]);
  }

  /**
   * ids [B, T] -> [B, T, C]. A product with one-hot rows instead of a gather: the gradient of gather needs
   * UnsortedSegmentSum, which the WASM backend lacks, and for so small a vocabulary the product is as fast.
   */
  #textEmbeddings(ids: tf.Tensor2D): tf.Tensor3D {
    // Cast afterwards: with dtype float32, the WASM backend's oneHot (4.22) writes integers, which read as 0.
    const oneHot = tf.cast(tf.oneHot(tf.reshape(ids, [-1]), this.config.vocabSize), 'float32') as tf.Tensor2D;
    const embedded = tf.matMul(oneHot, this.parameters.get<tf.Rank.R2>('language_model.embed_tokens.weight'));
    return tf.reshape(embedded, [...ids.shape, this.config.hiddenSize]);
  }

  /**
   * The decoder's layers without the last norm. x [B, T, C] at positions start.. -> [P, C], the positions that `read`
   * selects from [B * T, C]: after the last attention positions are independent, so only these are computed. If
   * `residuals` is given, the selected residual stream before and after each block is appended to it.
   */
  #decode(
    embedded: tf.Tensor3D,
    options: {
      read: (x: tf.Tensor2D) => tf.Tensor2D;
      start?: number;
      cache?: KeyValueCache;
      residuals?: tf.Tensor2D[];
    },
  ): tf.Tensor2D {
    const { read, start = 0, cache, residuals } = options;
    const [batchSize, length, width] = embedded.shape;
    const rows = (table: tf.Tensor2D): tf.Tensor2D => tf.slice(table, [start, 0], [length, -1]);
    const tables = { cos: rows(this.#rotary.cos), sin: rows(this.#rotary.sin), turn: this.#rotary.turn };
    const mask = tf.slice(this.#causal, [start, 0], [length, start + length]);
    let x = tf.reshape(embedded, [batchSize * length, width]) as tf.Tensor2D;
    residuals?.push(read(x));
    for (let layer = 0; layer < this.config.decoderLayers; layer++) {
      const last = layer === this.config.decoderLayers - 1;
      const path = `language_model.layers.${layer}`;
      const normal = this.#norm(x, `${path}.input_layernorm`);
      x = tf.add(x, this.#attention(normal, batchSize, `${path}.self_attn`, { tables, mask, layer, cache }));
      if (last) x = read(x);
      residuals?.push(last ? x : read(x));
      x = tf.add(x, this.#mlp(this.#norm(x, `${path}.post_attention_layernorm`), `${path}.mlp`));
      residuals?.push(last ? x : read(x));
    }
    return x;
  }

  /**
   * The decoder's MLP. With experts, the base's MLP is the first of them and the router's softmax weighs all. x [N, C]
   * -> [N, C]
   */
  #mlp(x: tf.Tensor2D, path: string): tf.Tensor2D {
    const expert = (at: string): tf.Tensor2D =>
      this.#linear(siluGate(this.#linear(x, `${at}.gate_proj`), this.#linear(x, `${at}.up_proj`)), `${at}.down_proj`);
    const { experts } = this.config;
    if (experts === undefined) return expert(path);
    const added = Array.from({ length: experts }, (_, i) => expert(`${path}.experts.${i}`));
    const shares = tf.reshape(tf.softmax(this.#linear(x, `${path}.router`)), [-1, experts + 1, 1]);
    return tf.sum(tf.mul(tf.stack([expert(path), ...added], 1), shares), 1);
  }

  /** The last norm and the output head: residual stream x [N, C] -> logits [N, V]. Call it within tf.tidy. */
  head(x: tf.Tensor2D): tf.Tensor2D {
    return this.#linear(this.#norm(x, 'language_model.norm'), 'lm_head');
  }

  /**
   * Multi-head attention. x [B*T, C] -> [B*T, C]. The vision tower attends in both directions and has learned
   * positions; the decoder (`causal` given) attends only backwards and rotates queries and keys by position.
   */
  #attention(
    x: tf.Tensor2D,
    batchSize: number,
    path: string,
    causal?: { tables: RotaryTables; mask: tf.Tensor2D; layer: number; cache: KeyValueCache | undefined },
  ): tf.Tensor2D {
    const { heads, hiddenSize } = this.config;
    const size = hiddenSize / heads;
    // One product for the three projections: one wide product uses the processor better than three narrow ones.
    const stacked = tf.concat(
      ['q_proj', 'k_proj', 'v_proj'].map((part) => this.parameters.effective<tf.Rank.R2>(`${path}.${part}.weight`)),
      0,
    );
    const projected = tf.reshape(tf.matMul(x, stacked as tf.Tensor2D, false, true), [batchSize, -1, 3, heads, size]);
    // Each [B, H, T, D]
    let [queries, keys, values] = tf.unstack(tf.transpose(projected, [2, 0, 3, 1, 4])) as [
      tf.Tensor4D,
      tf.Tensor4D,
      tf.Tensor4D,
    ];
    if (causal) {
      queries = rotary(queries, causal.tables);
      keys = rotary(keys, causal.tables);
      if (causal.cache) {
        const earlier = causal.cache[causal.layer];
        if (earlier) {
          keys = tf.concat([earlier.keys, keys], 2);
          values = tf.concat([earlier.values, values], 2);
          tf.dispose([earlier.keys, earlier.values]);
        }
        causal.cache[causal.layer] = { keys: tf.keep(keys), values: tf.keep(values) };
      }
    }
    const scores = tf.matMul(queries, keys, false, true); // [B, H, T, positions]
    const weights = attentionWeights(scores as tf.Tensor4D, 1 / Math.sqrt(size), causal?.mask);
    const mixed = tf.transpose(tf.matMul(weights, values), [0, 2, 1, 3]); // [B, T, H, D]
    return this.#linear(tf.reshape(mixed, [-1, hiddenSize]), `${path}.o_proj`);
  }
}

/** Selects the last `count` positions of each row: [B * T, C] -> [B * count, C]. */
function lastPositions(batchSize: number, count: number): (x: tf.Tensor2D) => tf.Tensor2D {
  return (x) => {
    const [rows, width] = x.shape;
    const all = tf.reshape(x, [batchSize, rows / batchSize, width]);
    const last = tf.slice(all, [0, rows / batchSize - count, 0], [-1, -1, -1]);
    return tf.reshape(last, [batchSize * count, width]);
  };
}
