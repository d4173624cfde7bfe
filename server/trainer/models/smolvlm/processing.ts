import { z } from 'zod';
import type { RgbPicture } from '../../data/rgb-picture.js';
import { resizePicture } from '../../data/resize-picture.js';
import type { Size } from '../layers/anyres.js';
import { patchesOf, placed, type Normalisation } from '../layers/picture-patches.js';
import { colourSchema, preprocessorConfiguration, refusePreprocessor } from '../layers/preprocessor-configuration.js';
import type { PreparedPicture } from '../model.js';
import type { PictureProcessor } from '../picture-processor.js';
import type { SmolVlmConfiguration } from './configuration.js';
import { fitLongest, fitTiles, pictureText } from './tiles.js';

const count = z.number().int().positive();
const edge = z.object({ longest_edge: count });
/** Defaults of transformers' SmolVLMImageProcessor and Idefics3ImageProcessor. */
const PreprocessorConfig = z.object({
  size: edge.default({ longest_edge: 1456 }),
  max_image_size: edge.default({ longest_edge: 364 }),
  do_image_splitting: z.boolean().default(true),
  do_resize: z.literal(true).default(true),
  resample: z.literal(1, 'only 1 (Lanczos) is known').default(1),
  rescale_factor: z
    .number()
    .positive()
    .default(1 / 255),
  image_mean: colourSchema.default([0.5, 0.5, 0.5]),
  image_std: colourSchema.default([0.5, 0.5, 0.5]),
});
interface Preprocessing extends Normalisation {
  /** The longest side of a resized picture, and the side of a tile, in pixels. */
  longest: number;
  tile: number;
  splits: boolean;
}

function preprocessing(config: unknown, { vision, block }: SmolVlmConfiguration): Preprocessing {
  const read = preprocessorConfiguration(PreprocessorConfig, config);
  const tile = read.max_image_size.longest_edge;
  const side = Math.floor(tile / vision.patch);
  if (side === 0 || side % block !== 0)
    refusePreprocessor('max_image_size', `is ${tile} pixels, ${side} patches; config.json joins ${block} x ${block} patches to a token`); // prettier-ignore
  return {
    longest: read.size.longest_edge,
    tile,
    splits: read.do_image_splitting,
    rescale: read.rescale_factor,
    mean: read.image_mean,
    deviation: read.image_std,
  };
}

/**
 * Pictures in tiles, row by row, with the whole picture squeezed into a tile last; a picture that is one tile as it is.
 * @param config preprocessor_config.json, if any
 * @throws ConfigurationError naming the field
 */
export function smolVlmPictures(configuration: SmolVlmConfiguration, config: unknown): PictureProcessor {
  const how = preprocessing(config, configuration);
  const { patch } = configuration.vision;
  const { tile } = how;
  const side = Math.floor(tile / patch);
  const tokens = (side / configuration.block) ** 2;
  const rowsOf = (size: Size): Size => (how.splits ? fitTiles(fitLongest(size, how.longest), tile) : [tile, tile]);
  const isOne = ([height, width]: Size): boolean => height === tile && width === tile;

  const viewsOf = (picture: RgbPicture): RgbPicture[] => {
    const resized = (from: RgbPicture, [height, width]: Size) => resizePicture(from, { height, width }, 'lanczos');
    const size: Size = [picture.height, picture.width];
    const whole = resized(resized(picture, fitLongest(size, how.longest)), rowsOf(size));
    const tiles: RgbPicture[] = [];
    for (let top = 0; top < whole.height; top += tile)
      for (let left = 0; left < whole.width; left += tile)
        tiles.push(placed(whole, [tile, tile], { top: -top, left: -left }, [0, 0, 0]));
    return tiles.length === 1 ? tiles : [...tiles, resized(whole, [tile, tile])];
  };

  const prepare = (picture: RgbPicture): PreparedPicture => {
    const views = viewsOf(picture).map((view) => patchesOf(view, patch, how));
    const patches = new Float32Array(views.length * views[0]!.length);
    views.forEach((view, index) => patches.set(view, index * view.length));
    return {
      patches,
      rows: views.length * side ** 2,
      tokens: views.length * tokens,
      grids: views.map(() => [side, side] as const),
      size: [picture.height, picture.width],
    };
  };
  return {
    token: '<image>',
    prepare: (pictures) => pictures.map(prepare),
    text: ({ size }) => {
      const [height, width] = rowsOf(size);
      return pictureText(isOne([height, width]) ? undefined : { rows: height / tile, columns: width / tile }, tokens);
    },
  };
}
