import { z } from 'zod';
import type { RgbPicture } from '../../data/rgb-picture.js';
import { resizePicture } from '../../data/resize-picture.js';
import type { Size } from '../layers/anyres.js';
import { patchesOf, type Normalisation } from '../layers/picture-patches.js';
import { colourSchema, preprocessorConfiguration, refusePreprocessor } from '../layers/preprocessor-configuration.js';
import type { PreparedPicture } from '../model.js';
import type { PictureProcessor } from '../picture-processor.js';
import type { VisionSizes } from './configuration.js';
import { patchPositions, smartResize, type PixelLimits } from './grid.js';

const count = z.number().int().positive();
/** Defaults of transformers' Qwen2VLImageProcessor; published files allow 12,845,056 pixels. */
const PreprocessorConfig = z.object({
  /** Of the resized picture in pixels; `size` is its name in transformers 5. */
  min_pixels: count.optional(),
  max_pixels: count.optional(),
  size: z.object({ shortest_edge: count.nullish(), longest_edge: count.nullish() }).optional(),
  patch_size: count.optional(),
  temporal_patch_size: count.optional(),
  merge_size: count.optional(),
  resample: z.literal(3, 'only 3 (bicubic) is known').optional(),
  rescale_factor: z.number().positive().optional(),
  image_mean: colourSchema.optional(),
  image_std: colourSchema.optional(),
});
interface Preprocessing extends PixelLimits, Normalisation {}

function preprocessing(config: unknown, vision: VisionSizes): Preprocessing {
  const read = preprocessorConfiguration(PreprocessorConfig, config);
  for (const [field, here, there] of [
    ['patch_size', read.patch_size, vision.patch],
    ['temporal_patch_size', read.temporal_patch_size, vision.frames],
    ['merge_size', read.merge_size, vision.merge],
  ] as const)
    if (typeof here === 'number' && here !== there) refusePreprocessor(field, `is ${here}; config.json says ${there}`);
  const least = read.min_pixels ?? read.size?.shortest_edge ?? 56 * 56;
  const most = read.max_pixels ?? read.size?.longest_edge ?? 28 * 28 * 1280;
  if (least > most) refusePreprocessor('min_pixels', `is ${least}; max_pixels is ${most}`);
  return {
    least,
    most,
    mean: read.image_mean ?? [0.48145466, 0.4578275, 0.40821073],
    deviation: read.image_std ?? [0.26862954, 0.26130258, 0.27577711],
    ...(typeof read.rescale_factor === 'number' && { rescale: read.rescale_factor }),
  };
}

/**
 * Patches in the order of `patchPositions`, each flattened as the convolution's kernel is: channel, frame, row, column.
 * A picture is the same in all frames.
 * @returns [rows, 3 * frames * patch * patch]
 */
function framedPatches(picture: RgbPicture, { patch, frames, merge }: VisionSizes, how: Normalisation): Float32Array {
  const [height, width] = [picture.height / patch, picture.width / patch];
  const plain = patchesOf(picture, patch, how);
  const area = patch ** 2;
  const { rows, columns } = patchPositions([height, width], merge);
  const patches = new Float32Array(plain.length * frames);
  let at = 0;
  rows.forEach((row, index) => {
    for (let channel = 0; channel < 3; channel++) {
      const from = ((row * width + columns[index]!) * 3 + channel) * area;
      for (let frame = 0; frame < frames; frame++, at += area) patches.set(plain.subarray(from, from + area), at);
    }
  });
  return patches;
}

/**
 * Each picture in about its own size.
 * @param config preprocessor_config.json, if any
 * @throws ConfigurationError naming the field
 */
export function qwenVlPictures(vision: VisionSizes, config: unknown): PictureProcessor {
  const how = preprocessing(config, vision);
  const { patch, merge } = vision;
  const prepare = (picture: RgbPicture): PreparedPicture => {
    const [height, width] = smartResize([picture.height, picture.width], patch * merge, how);
    const grid: Size = [height / patch, width / patch];
    return {
      patches: framedPatches(resizePicture(picture, { height, width }, 'bicubic'), vision, how),
      rows: grid[0] * grid[1],
      tokens: (grid[0] * grid[1]) / merge ** 2,
      grids: [grid],
      size: [picture.height, picture.width],
    };
  };
  const token = '<|image_pad|>';
  return { token, prepare: (pictures) => pictures.map(prepare), text: ({ tokens }) => token.repeat(tokens) };
}
