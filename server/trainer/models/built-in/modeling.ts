import * as tf from '@tensorflow/tfjs-core';
import type { ModelInfo } from '@plumbline/shared/parameter';
import type { Parameters } from '../../runtime/parameter.js';
import type { Blueprint, BuildOptions } from '../blueprint.js';
import { collateAngles, collateTokens, textPositions } from '../collate.js';
import { quickGelu } from '../layers/activations.js';
import { attention } from '../layers/attention.js';
import { Decoder, type DecoderConfiguration } from '../layers/decoder.js';
import { gatherRows } from '../layers/gather-rows.js';
import { generate } from '../layers/generation.js';
import { rmsNorm } from '../layers/norms.js';
import type { Example, GenerateOptions, HostInputs, Inputs, Model, ResidualListener, TextSizes } from '../model.js';
import { describeModel, parameterInfos } from '../parameter-roles.js';
import { visualTokens, type BuiltInConfig } from './configuration.js';
import { builtInParameters } from './weights.js';

/** The name of the family. It is no `model_type` of transformers. */
export const builtInFamily = 'plumbline-base';
const prefix = 'language_model.';

/** The small model that ships with the project. */
export function builtInBlueprint(config: BuiltInConfig): Blueprint {
  const text = decoderOf(config);
  return {
    family: builtInFamily,
    text,
    parameters: builtInParameters(config),
    build: (parameters, options) => new BuiltInModel(config, text, parameters, options),
  };
}

const decoderOf = (config: BuiltInConfig): DecoderConfiguration => ({
  layers: config.decoderLayers,
  width: config.hiddenSize,
  heads: config.heads,
  keyValueHeads: config.heads,
  headSize: config.hiddenSize / config.heads,
  feedForward: config.intermediateSize,
  vocabulary: config.vocabSize,
  rmsNormEps: config.rmsNormEps,
  rope: { theta: config.ropeTheta },
  biases: { queryKeyValue: false, output: false, mlp: false },
  tied: false,
});

/**
 * A small vision-language transformer with the shape of LLaVA and Qwen2.5-VL: image patches -> vision encoder ->
 * projector -> decoder over [visual tokens; text tokens]. Every example has one picture, whose visual tokens come first.
 */
class BuiltInModel implements Model {
  readonly family = builtInFamily;
  readonly #decoder: Decoder;

  constructor(
    private readonly config: BuiltInConfig,
    readonly text: TextSizes & DecoderConfiguration,
    readonly parameters: Parameters,
    options: BuildOptions = {},
  ) {
    this.#decoder = new Decoder(text, parameters, { prefix, ...options });
  }

  /** The vision tower is one group. */
  describe(): ModelInfo {
    return describeModel(this.family, parameterInfos(this.parameters), { wholeVision: true });
  }

  /**
   * All batches have the same length: shapes and compiled functions never change.
   * @param options.length positions of visual tokens and text; default: what fits the longest text and its end
   */
  collate(
    examples: readonly Example[],
    { length = visualTokens(this.config) + this.config.maxTextTokens + 1 }: { length?: number } = {},
  ): HostInputs {
    const { patchSize, vocabSize } = this.config;
    const perPicture = visualTokens(this.config);
    examples.forEach(({ pictures, ids }, row) => {
      if (pictures.length === 1 && pictures[0]!.rows === perPicture && ids.length > perPicture) return;
      throw new Error(`Example ${row + 1} of the batch does not start with the ${perPicture} tokens of one picture.`);
    });
    const tokens = collateTokens(examples, { vocabulary: vocabSize, length });
    const angles = collateAngles(examples.length, [textPositions(examples.length, length)], this.#decoder.frequencies);
    const rowLength = 3 * patchSize ** 2;
    const patches = new Float32Array(examples.length * perPicture * rowLength);
    examples.forEach(({ pictures }, row) => patches.set(pictures[0]!.patches, row * perPicture * rowLength));
    const texts = examples.length * length;
    const place = Int32Array.from({ length: texts }, (_, at) => {
      const [row, position] = [Math.floor(at / length), at % length];
      return position < perPicture ? texts + row * perPicture + position : at;
    });
    return {
      ...tokens,
      ...angles,
      patches: { shape: [examples.length * perPicture, rowLength], data: patches },
      place: { shape: [texts], data: place },
    };
  }

  hidden(inputs: Inputs, listener?: ResidualListener): tf.Tensor2D {
    const { cos, sin, read } = inputs;
    return this.#decoder.decode(this.#embed(inputs), {
      ...{ cos: cos as tf.Tensor3D, sin: sin as tf.Tensor3D, read: read as tf.Tensor1D, listener },
    });
  }

  logits(hidden: tf.Tensor2D): tf.Tensor2D {
    return this.#decoder.logits(hidden);
  }

  /** The embeddings of pictures and text, [B * T, width]. */
  #embed(inputs: Inputs): tf.Tensor2D {
    const embedded = this.#decoder.embed(tf.reshape(inputs['ids']!, [-1]));
    const features = (inputs['features'] as tf.Tensor2D | undefined) ?? this.features(inputs);
    return gatherRows(tf.concat([embedded, features], 0), inputs['place'] as tf.Tensor1D);
  }

  features({ patches }: Inputs): tf.Tensor2D {
    const perPicture = visualTokens(this.config);
    const { hiddenSize, visionLayers } = this.config;
    const embedded = this.parameters.linear(patches as tf.Tensor2D, 'vision_tower.embeddings.patch_embedding');
    const positioned = tf.add(
      tf.reshape(embedded, [-1, perPicture, hiddenSize]),
      this.parameters.get('vision_tower.embeddings.position_embedding.weight'),
    );
    let x = tf.reshape(positioned, [-1, hiddenSize]) as tf.Tensor2D;
    for (let layer = 0; layer < visionLayers; layer++) {
      const path = `vision_tower.encoder.layers.${layer}`;
      x = tf.add(x, this.#attend(this.#norm(x, `${path}.layer_norm1`), `${path}.self_attn`));
      const inner = quickGelu(this.parameters.linear(this.#norm(x, `${path}.layer_norm2`), `${path}.mlp.fc1`));
      x = tf.add(x, this.parameters.linear(inner, `${path}.mlp.fc2`));
    }
    x = this.#norm(x, 'vision_tower.post_layernorm');
    x = quickGelu(this.parameters.linear(x, 'multi_modal_projector.linear_1'));
    return this.parameters.linear(x, 'multi_modal_projector.linear_2');
  }

  /** Attention in both directions within a picture. */
  #attend(x: tf.Tensor2D, path: string): tf.Tensor2D {
    const { hiddenSize, heads } = this.config;
    const perPicture = visualTokens(this.config);
    const project = (name: string): tf.Tensor4D => {
      const projected = this.parameters.linear(x, `${path}.${name}`);
      return tf.transpose(tf.reshape(projected, [-1, perPicture, heads, hiddenSize / heads]), [0, 2, 1, 3]);
    };
    const mixed = attention(project('q_proj'), project('k_proj'), project('v_proj'));
    return this.parameters.linear(
      tf.reshape(tf.transpose(mixed, [0, 2, 1, 3]), [-1, hiddenSize]) as tf.Tensor2D,
      `${path}.o_proj`,
    );
  }

  #norm(x: tf.Tensor2D, path: string): tf.Tensor2D {
    return rmsNorm(x, this.parameters.get<tf.Rank.R1>(`${path}.weight`), this.config.rmsNormEps);
  }

  generate(prompts: readonly Example[], options: GenerateOptions): Promise<number[][]> {
    return generate(this.#decoder, prompts, options, (batch) => ({
      inputs: this.collate(batch, { length: Math.max(...batch.map(({ ids }) => ids.length)) }),
      embed: (inputs) => this.#embed(inputs),
      lengths: batch.map(({ ids }) => ids.length),
    }));
  }

  dispose(): void {
    this.parameters.dispose();
  }
}
