import * as tf from '@tensorflow/tfjs-core';
import type { Parameters } from '../../runtime/parameter.js';
import type { Family as FamilyName } from '../../weights/name-map.js';
import type { Blueprint, BuildOptions, ParameterShape } from '../blueprint.js';
import type { Inputs, PreparedPicture } from '../model.js';
import type { PictureProcessor } from '../picture-processor.js';
import { gelu } from './activations.js';
import { collatePictures, pictureFault } from './collate-pictures.js';
import { decoderParameters, headParameters } from './decoder.js';
import { gatherRows } from './gather-rows.js';
import type { PictureTextConfiguration } from './picture-text-configuration.js';
import { VisionLanguageModel, type CollatedPictures, type PictureEncoder } from './vision-language-model.js';
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
    build: (parameters, options) => {
      const encoder = new ProjectedTower(configuration, parameters, options);
      return new VisionLanguageModel(family, configuration, parameters, { ...options, prefix: paths.text, encoder });
    },
  };
}

/** A vision tower and a projector: LLaVA and its successors. */
class ProjectedTower implements PictureEncoder {
  readonly #tower: VisionTower;

  constructor(
    private readonly configuration: PictureTextConfiguration,
    private readonly parameters: Parameters,
    options: BuildOptions = {},
  ) {
    this.#tower = new VisionTower(configuration.vision, parameters, { prefix: paths.tower, ...options });
  }

  faultOf(picture: PreparedPicture): string | undefined {
    return pictureFault(this.configuration, picture);
  }

  /** Weights behind the features that are taken. */
  isFixed(name: string): boolean {
    if (!name.startsWith(paths.tower)) return false;
    const layer = /^encoder\.layers\.(\d+)\./.exec(name.slice(paths.tower.length))?.[1];
    if (layer !== undefined) return Number(layer) >= Math.max(...this.configuration.features);
    return name.startsWith(`${paths.tower}post_layernorm.`);
  }

  collate(pictures: readonly PreparedPicture[]): CollatedPictures {
    return collatePictures(this.configuration, pictures);
  }

  /** @returns the projected features, the newline where there are tiles, and the blends where there are any */
  features({ patches, blend_rows, blend_weights }: Inputs): tf.Tensor2D {
    const { features, tiling, text } = this.configuration;
    const projected = this.#project(this.#withoutFirst(this.#tower.features(patches as tf.Tensor2D, features)));
    const sources = [projected];
    if (tiling) sources.push(tf.reshape(this.parameters.get(paths.newline), [1, text.width]));
    if (blend_rows) {
      const four = tf.reshape(gatherRows(projected, blend_rows as tf.Tensor1D), [-1, 4, text.width]);
      sources.push(tf.sum(tf.mul(four, tf.expandDims(blend_weights!, 2)), 1) as tf.Tensor2D);
    }
    return tf.concat(sources, 0);
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
}
