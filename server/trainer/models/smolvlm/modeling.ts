import * as tf from '@tensorflow/tfjs-core';
import type { Parameters } from '../../runtime/parameter.js';
import type { BuildOptions, Family } from '../blueprint.js';
import { bucket } from '../collate.js';
import { decoderParameters, headParameters } from '../layers/decoder.js';
import { VisionLanguageModel, type CollatedPictures, type PictureEncoder } from '../layers/vision-language-model.js';
import { towerParameters, VisionTower } from '../layers/vision-tower.js';
import type { Inputs, PreparedPicture } from '../model.js';
import { smolVlmConfiguration, type SmolVlmConfiguration } from './configuration.js';
import { smolVlmPictures } from './processing.js';
import { patchOrder, positionBuckets } from './tiles.js';

const paths = {
  tower: 'model.vision_model.',
  connector: 'model.connector.modality_projection.proj',
  text: 'model.text_model.',
} as const;

/** SigLIP on tiles, and a connector that makes one visual token of a block of patches. */
class TileEncoder implements PictureEncoder {
  readonly #tower: VisionTower;

  constructor(
    private readonly configuration: SmolVlmConfiguration,
    private readonly parameters: Parameters,
    options: BuildOptions = {},
  ) {
    this.#tower = new VisionTower(configuration.vision, parameters, { prefix: paths.tower, ...options });
  }

  faultOf(picture: PreparedPicture): string | undefined {
    const { block, vision } = this.configuration;
    const { grids, rows, patches, tokens } = picture;
    const side = grids[0]?.[0] ?? 0;
    if (side === 0 || grids.some(([height, width]) => height !== side || width !== side))
      return 'its tiles are not squares of the same size';
    if (side % block !== 0) return `its tiles of ${side} x ${side} patches are not made of ${block} x ${block}`;
    if (rows !== grids.length * side ** 2) return `it has ${rows} patches in ${grids.length} tiles`;
    if (patches.length !== rows * 3 * vision.patch ** 2)
      return `its patches are not of ${vision.patch} x ${vision.patch} pixels`;
    const made = tilesOf(picture).length * (side / block) ** 2;
    return tokens === made ? undefined : `it says ${tokens} visual tokens, and this model makes ${made} of it`;
  }

  /**
   * - `patches` [tiles * side * side, 3 * patch * patch], by tile and block
   * - `tile_places` [side * side] int32: the row of the position embedding for each patch of a tile
   * @throws Error when tiles of two sizes come together
   */
  collate(pictures: readonly PreparedPicture[]): CollatedPictures {
    const { block, vision } = this.configuration;
    const side = pictures[0]!.grids[0]![0];
    const other = pictures.find(({ grids }) => grids[0]![0] !== side);
    if (other)
      throw new Error(`The pictures of a batch have tiles of ${side} and of ${other.grids[0]![0]} patches a side.`);
    const order = patchOrder(side, block);
    const places = positionBuckets(side, vision.side);
    const values = 3 * vision.patch ** 2;
    const tiles = pictures.map(tilesOf);
    const padded = bucket(tiles.flat().length, 1);
    const patches = new Float32Array(padded * side ** 2 * values);
    tiles.flat().forEach((tile, index) => {
      order.forEach((patch, at) => {
        patches.set(tile.subarray(patch * values, (patch + 1) * values), (index * order.length + at) * values);
      });
    });
    const perTile = (side / block) ** 2;
    let first = 0;
    const rows = tiles.map((tiles) => {
      const from = first;
      first += tiles.length * perTile;
      return Int32Array.from({ length: tiles.length * perTile }, (_, at) => from + at);
    });
    return {
      rows,
      inputs: {
        patches: { shape: [padded * order.length, values], data: patches },
        tile_places: { shape: [order.length], data: order.map((patch) => places[patch]!) },
      },
    };
  }

  features({ patches, tile_places }: Inputs): tf.Tensor2D {
    const { block, vision } = this.configuration;
    const seen = this.#tower.features(patches as tf.Tensor2D, [vision.layers], tile_places as tf.Tensor1D);
    const blocks = tf.reshape(this.#tower.normalised(seen), [-1, block ** 2 * vision.width]) as tf.Tensor2D;
    return this.parameters.linear(blocks, paths.connector);
  }
}

/** The patches of each tile. Tiles of zeros are padding, as transformers pads pictures to a batch, and are left out. */
function tilesOf({ patches, grids }: PreparedPicture): Float32Array[] {
  const length = patches.length / grids.length;
  return grids
    .map((_, tile) => patches.subarray(tile * length, (tile + 1) * length))
    .filter((tile) => tile.some((value) => value !== 0));
}

/** Idefics3 and SmolVLM: a Llama that sees tiles through SigLIP. @param family the model's `model_type` */
const tiledFamily =
  (family: 'smolvlm' | 'idefics3'): Family =>
  (config) => {
    const configuration = smolVlmConfiguration(config);
    const { text, vision, block } = configuration;
    return {
      family,
      text,
      parameters: [
        ...towerParameters(vision, paths.tower),
        { name: `${paths.connector}.weight`, shape: [text.width, block ** 2 * vision.width] },
        ...decoderParameters(text, paths.text),
        ...headParameters(text),
      ],
      pictures: (preprocessor) => smolVlmPictures(configuration, preprocessor),
      build: (parameters, options) => {
        const encoder = new TileEncoder(configuration, parameters, options);
        return new VisionLanguageModel(family, configuration, parameters, { ...options, prefix: paths.text, encoder });
      },
    };
  };

export const smolVlm = tiledFamily('smolvlm');
export const idefics3 = tiledFamily('idefics3');
