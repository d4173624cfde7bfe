import { z } from 'zod';
import { resizePicture, type ResizeFilter } from '../../data/resize-picture.js';
import { maxPicturePixels, type RgbPicture } from '../../data/rgb-picture.js';
import type { PreparedPicture } from '../model.js';
import type { PictureProcessor } from '../picture-processor.js';
import { bestResolution, fitInside, type Size } from './anyres.js';
import { patchesOf, placed, type Colour, type Normalisation } from './picture-patches.js';
import type { PictureTextConfiguration } from './picture-text-configuration.js';
import { packingOf } from './collate-pictures.js';
import { colourSchema, preprocessorConfiguration, refusePreprocessor } from './preprocessor-configuration.js';

/** How pictures become squares: preprocessor_config.json. */
export interface Preprocessing extends Normalisation {
  filter: ResizeFilter;
  /** Whether a whole picture is first padded to a square with the mean colour (LLaVA 1.5's original code). */
  padToSquare: boolean;
}

const clip: Normalisation = {
  mean: [0.48145466, 0.4578275, 0.40821073],
  deviation: [0.26862954, 0.26130258, 0.27577711],
};
const siglip: Normalisation = { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] };

/** Filters by Pillow's numbers. */
const filters: Readonly<Record<number, ResizeFilter>> = { 1: 'lanczos', 2: 'bilinear', 3: 'bicubic' };

const side = z.number().int().positive();
const Sides = z.union([
  side.transform((edge) => ({ height: edge, width: edge })),
  z.object({ shortest_edge: side }).transform(({ shortest_edge: edge }) => ({ height: edge, width: edge })),
  z.object({ height: side, width: side }),
]);
const PreprocessorConfig = z.object({
  size: Sides.optional(),
  crop_size: Sides.optional(),
  resample: z.number().int().optional(),
  rescale_factor: z.number().positive().optional(),
  image_mean: colourSchema.optional(),
  image_std: colourSchema.optional(),
  do_pad: z.boolean().optional(),
  image_grid_pinpoints: z.array(z.tuple([side, side])).optional(),
});
/**
 * @param config the parsed preprocessor_config.json; what it leaves out is as the towers were pretrained
 * @throws ConfigurationError naming the field
 */
export function preprocessing(config: unknown, { vision, tiling }: PictureTextConfiguration): Preprocessing {
  const read = preprocessorConfiguration(PreprocessorConfig, config);
  for (const [field, sides] of [
    ['size', read.size],
    ['crop_size', read.crop_size],
  ] as const)
    // prettier-ignore
    if (sides && (sides.height !== vision.picture || sides.width !== vision.picture))
      refusePreprocessor(field, `is ${sides.height} x ${sides.width}; the tower takes ${vision.picture} x ${vision.picture} pixels`);
  const sizes = read.image_grid_pinpoints;
  if (tiling && sizes && sizes.join(' ') !== tiling.resolutions.join(' '))
    refusePreprocessor(
      'image_grid_pinpoints',
      "differs from config.json's, so that pictures would not fit their placeholders",
    );
  const usual = vision.kind === 'siglip_vision_model' ? siglip : clip;
  const number = read.resample ?? 3;
  return {
    mean: read.image_mean ?? usual.mean,
    deviation: read.image_std ?? usual.deviation,
    ...(typeof read.rescale_factor === 'number' && { rescale: read.rescale_factor }),
    filter:
      filters[number] ??
      refusePreprocessor('resample', `is ${number}; known are 1 (Lanczos), 2 (bilinear) and 3 (bicubic)`),
    padToSquare: read.do_pad ?? false,
  };
}

const black: Colour = [0, 0, 0];
const sizeOf = ({ height, width }: RgbPicture): Size => [height, width];
const resized = (picture: RgbPicture, [height, width]: Size, { filter }: Preprocessing): RgbPicture =>
  resizePicture(picture, { height, width }, filter);
/** Where a picture lies in the middle of a canvas, by whole pixels. */
const centred = (picture: RgbPicture, [height, width]: Size) => ({
  top: Math.floor((height - picture.height) / 2),
  left: Math.floor((width - picture.width) / 2),
});

/** The whole picture in its proportions, filled up to a square with the mean colour. */
function squared(picture: RgbPicture, { mean }: Preprocessing): RgbPicture {
  const longest = Math.max(picture.width, picture.height);
  if (picture.width === picture.height) return picture;
  checkSize(picture, [longest, longest]);
  const colour = mean.map((value) => Math.trunc(value * 255)) as [number, number, number];
  return placed(picture, [longest, longest], centred(picture, [longest, longest]), colour);
}

/** The shortest side resized to the tower's, and what is farther from the middle cut off. */
function cropped(picture: RgbPicture, side: number, how: Preprocessing): RgbPicture {
  const long = Math.trunc((side * Math.max(picture.height, picture.width)) / Math.min(picture.height, picture.width));
  const size: Size = picture.width <= picture.height ? [long, side] : [side, long];
  checkSize(picture, size);
  const whole = resized(picture, size, how);
  return placed(whole, [side, side], { top: -Math.trunc((size[0] - side) / 2), left: -Math.trunc((size[1] - side) / 2) }, black); // prettier-ignore
}

/** The picture fitted into its best resolution, in the middle, with black around it. */
function fitted(picture: RgbPicture, resolutions: readonly Size[], how: Preprocessing): RgbPicture {
  const resolution = bestResolution(sizeOf(picture), resolutions);
  const inside = resized(picture, fitInside(sizeOf(picture), resolution), how);
  return placed(inside, resolution, centred(inside, resolution), black);
}

function checkSize({ width, height }: RgbPicture, size: Size): void {
  if (size[0] * size[1] > maxPicturePixels)
    throw new Error(`A picture of ${width} x ${height} pixels is too narrow for this model. Crop it.`);
}

export interface PictureViews {
  /**
   * The pictures that the tower sees of one picture, in its order.
   * @param alone whether the conversation has no other picture
   */
  (picture: RgbPicture, alone: boolean): RgbPicture[];
}

/** LLaVA 1.5: the middle of the picture. */
export const middleView =
  ({ vision }: PictureTextConfiguration, how: Preprocessing): PictureViews =>
  (picture) => [cropped(how.padToSquare ? squared(picture, how) : picture, vision.picture, how)];

/** LLaVA-NeXT: the whole picture squeezed, then its tiles. */
export const tiledViews =
  ({ vision, tiling }: PictureTextConfiguration, how: Preprocessing): PictureViews =>
  (picture) => {
    const side = vision.picture;
    const canvas = fitted(picture, tiling!.resolutions, how);
    const tiles: RgbPicture[] = [];
    for (let top = 0; top < canvas.height; top += side)
      for (let left = 0; left < canvas.width; left += side)
        tiles.push(placed(canvas, [side, side], { top: -top, left: -left }, black));
    return [resized(picture, [side, side], how), ...tiles];
  };

/** LLaVA-OneVision: a picture that is alone as LLaVA-NeXT's, others whole, in a square of the mean colour. */
export function oneVisionViews(configuration: PictureTextConfiguration, how: Preprocessing): PictureViews {
  const tiled = tiledViews(configuration, how);
  const side = configuration.vision.picture;
  return (picture, alone) => (alone ? tiled(picture, alone) : [resized(squared(picture, how), [side, side], how)]);
}

/** Prepares pictures by their family's views. */
export function pictureProcessor(
  configuration: PictureTextConfiguration,
  how: Preprocessing,
  views: PictureViews,
): PictureProcessor {
  const { patch, side } = configuration.vision;
  const token = '<image>';
  return {
    token,
    prepare: (pictures) =>
      pictures.map((picture): PreparedPicture => {
        if (picture.width < 1 || picture.height < 1)
          throw new Error(`A picture of ${picture.width} x ${picture.height} pixels has nothing to see.`);
        const seen = views(picture, pictures.length === 1).map((view) => patchesOf(view, patch, how));
        const patches = new Float32Array(seen.length * seen[0]!.length);
        seen.forEach((view, index) => patches.set(view, index * view.length));
        return {
          patches,
          rows: seen.length * side ** 2,
          tokens: packingOf(configuration, sizeOf(picture), seen.length).tokens.length,
          grids: seen.map(() => [side, side] as const),
          size: sizeOf(picture),
        };
      }),
    text: ({ tokens }) => token.repeat(tokens),
  };
}
