import type { RgbPicture } from '../../data/rgb-picture.js';
import type { Size } from './anyres.js';

export type Colour = readonly [red: number, green: number, blue: number];

/** The colour that a tower sees: (byte / 255 - mean) / deviation, of each channel. */
export interface Normalisation {
  mean: Colour;
  deviation: Colour;
  /** Default: 1 / 255 */
  rescale?: number;
}

/**
 * A part of a canvas of one colour on which a picture lies: padding, cropping, a tile.
 * @param size of the result in pixels
 * @param at where the picture's upper left corner lies in it; negative where it is cut off
 */
export function placed(picture: RgbPicture, size: Size, at: { top: number; left: number }, fill: Colour): RgbPicture {
  const [height, width] = size;
  const data = new Uint8Array(height * width * 3);
  if (fill.some((value) => value !== 0)) for (let i = 0; i < data.length; i += 3) data.set(fill, i);
  const [from, to] = [Math.max(0, at.left), Math.min(width, at.left + picture.width)];
  for (let y = Math.max(0, at.top); y < Math.min(height, at.top + picture.height) && from < to; y++) {
    const start = ((y - at.top) * picture.width + from - at.left) * 3;
    data.set(picture.data.subarray(start, start + (to - from) * 3), (y * width + from) * 3);
  }
  return { width, height, data };
}

/**
 * Squares of a picture, row by row, each flattened as a convolution's kernel is: channel, row, column. What is left
 * beside the last whole square is not used.
 * @param patch side of a square in pixels
 * @returns [rows, 3 * patch * patch]
 */
export function patchesOf(picture: RgbPicture, patch: number, normalisation: Normalisation): Float32Array {
  const { mean, deviation, rescale = 1 / 255 } = normalisation;
  const colours = mean.map((mean, channel) =>
    Float32Array.from({ length: 256 }, (_, byte) => (byte * rescale - mean) / deviation[channel]!),
  );
  const [down, across] = [Math.floor(picture.height / patch), Math.floor(picture.width / patch)];
  const patches = new Float32Array(down * across * 3 * patch * patch);
  let at = 0;
  for (let row = 0; row < down; row++)
    for (let column = 0; column < across; column++)
      for (let channel = 0; channel < 3; channel++)
        for (let y = row * patch; y < (row + 1) * patch; y++) {
          let from = (y * picture.width + column * patch) * 3 + channel;
          for (let x = 0; x < patch; x++, from += 3) patches[at++] = colours[channel]![picture.data[from]!]!;
        }
  return patches;
}
