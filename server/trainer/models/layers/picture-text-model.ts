import type { Family as FamilyName } from '../../weights/name-map.js';
import * as tf from '@tensorflow/tfjs-core';
import type { ModelInfo } from '@plumbline/shared/parameter';
import type { Parameters } from '../../runtime/parameter.js';
import type { Blueprint, BuildOptions, ParameterShape } from '../blueprint.js';
import { collateAngles, collateTokens, textPositions } from '../collate.js';
import type { Example, GenerateOptions, HostInputs, Inputs, Model, ResidualListener, TextSizes } from '../model.js';
import type { PictureProcessor } from '../picture-processor.js';
import { describeModel, parameterInfos } from '../parameter-roles.js';
import { gelu } from './activations.js';
import { collatePictures } from './collate-pictures.js';
import { Decoder, decoderParameters, headParameters } from './decoder.js';
import { gatherRows } from './gather-rows.js';
import { generate } from './generation.js';
import type { PictureTextConfiguration } from './picture-text-configuration.js';
import { towerParameters, towerPositions, VisionTower } from './vision-tower.js';

const paths = {
  tower: 'model.vision_tower.',
  projector: 'model.multi_modal_projector.',
  newline: 'model.image_newline',
  text: 'model.language_model.',
} as const;

/** Names and shapes of all parameters, in the order of transformers. */
function pictureTextParameters(configuration: PictureTextConfiguration): ParameterShape[] {
  const { text, vision, features, projectorBias, tiling } = configuration;
  const linear = (name: string, from: number): ParameterShape[] => [
    { name: `${paths.projector}${name}.weight`, shape: [text.width, from] },
    ...(projectorBias ? [{ name: `${paths.projector}${name}.bias`, shape: [text.width] }] : []),
  ];
  return [
    ...(tiling ? [{ name: paths.newline, shape: [text.width] }] : []),
    ...towerParameters(vision, paths.tower),
    ...linear('linear_1', vision.width * features.length),
    ...linear('linear_2', text.width),
    ...decoderParameters(text, paths.text),
    ...headParameters(text),
  ];
}

/** A family of such models. @param pictures makes its processor of its preprocessor_config.json */
export function pictureTextBlueprint(
  family: FamilyName,
  configuration: PictureTextConfiguration,
  pictures: (configuration: PictureTextConfiguration, preprocessor: unknown) => PictureProcessor,
): Blueprint {
  return {
    family,
    text: configuration.text,
    parameters: pictureTextParameters(configuration),
    pictures: (preprocessor) => pictures(configuration, preprocessor),
    build: (parameters, options) => new PictureTextModel(family, configuration, parameters, options),
  };
}

/** LLaVA and its successors: visual tokens take the places of placeholders in the text. */
class PictureTextModel implements Model {
  readonly text: TextSizes;
  readonly #decoder: Decoder;
  readonly #tower: VisionTower;

  constructor(
    readonly family: string,
    private readonly configuration: PictureTextConfiguration,
    readonly parameters: Parameters,
    options: BuildOptions = {},
  ) {
    this.text = configuration.text;
    this.#decoder = new Decoder(configuration.text, parameters, { prefix: paths.text, ...options });
    this.#tower = new VisionTower(configuration.vision, parameters, { prefix: paths.tower, ...options });
  }

  describe(): ModelInfo {
    const infos = parameterInfos(this.parameters).map((info) =>
      this.#isUnused(info.name) ? { ...info, fixed: true } : info,
    );
    return describeModel(this.family, infos);
  }

  /** Whether a weight lies behind the features that are taken: no training changes it. */
  #isUnused(name: string): boolean {
    if (!name.startsWith(paths.tower)) return false;
    const layer = /^encoder\.layers\.(\d+)\./.exec(name.slice(paths.tower.length))?.[1];
    if (layer !== undefined) return Number(layer) >= Math.max(...this.configuration.features);
    return name.startsWith(`${paths.tower}post_layernorm.`);
  }

  collate(examples: readonly Example[], { length }: { length?: number } = {}): HostInputs {
    const tokens = collateTokens(examples, { vocabulary: this.text.vocabulary, length });
    const [batch, padded] = tokens.ids.shape as [number, number];
    const angles = collateAngles(batch, [textPositions(batch, padded)], this.#decoder.frequencies);
    return { ...tokens, ...angles, ...collatePictures(this.configuration, examples, padded) };
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

  /** The embeddings of text and pictures, [B * T, width]. */
  #embed({ ids, patches, place, blend_rows, blend_weights }: Inputs): tf.Tensor2D {
    const embedded = this.#decoder.embed(tf.reshape(ids!, [-1]));
    if (!patches) return embedded;
    const features = this.#project(
      this.#withoutFirst(this.#tower.features(patches as tf.Tensor2D, this.configuration.features)),
    );
    const sources = [embedded, features];
    const { width } = this.text;
    if (this.configuration.tiling) sources.push(tf.reshape(this.parameters.get(paths.newline), [1, width]));
    if (blend_rows) {
      const four = tf.reshape(gatherRows(features, blend_rows as tf.Tensor1D), [-1, 4, width]);
      sources.push(tf.sum(tf.mul(four, tf.expandDims(blend_weights!, 2)), 1) as tf.Tensor2D);
    }
    return gatherRows(tf.concat(sources, 0), place as tf.Tensor1D);
  }

  #withoutFirst(features: tf.Tensor2D): tf.Tensor2D {
    const { withoutFirst, vision } = this.configuration;
    if (!withoutFirst) return features;
    const [rows, width] = features.shape;
    const positions = towerPositions(vision);
    const pictures = tf.reshape(features, [rows / positions, positions, width]);
    return tf.reshape(tf.slice(pictures, [0, 1, 0], [-1, positions - 1, -1]), [-1, width]);
  }

  #project(features: tf.Tensor2D): tf.Tensor2D {
    const inner = gelu(this.parameters.linear(features, `${paths.projector}linear_1`));
    return this.parameters.linear(inner, `${paths.projector}linear_2`);
  }

  generate(prompts: readonly Example[], options: GenerateOptions): Promise<number[][]> {
    return generate(this.#decoder, prompts, options, (batch) => ({
      inputs: this.collate(batch),
      embed: (inputs) => this.#embed(inputs),
      lengths: batch.map(({ ids }) => ids.length),
    }));
  }

  dispose(): void {
    this.parameters.dispose();
  }
}
