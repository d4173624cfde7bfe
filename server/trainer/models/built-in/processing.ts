import { pictureSize, type DrawnQuestion } from '../../data/task.js';
import type { Tokenizer } from '../../tokenizer.js';
import { noLabel, type Example, type PreparedPicture } from '../model.js';

/**
 * Pixel normalisation for the vision tower: (value / 255 - mean) / deviation, the same for the three channels. The
 * figures are those of the base mix, rounded.
 */
const pixelMean = 0.3;
const pixelDeviation = 0.25;
/** Width and height of a patch in pixels. */
const patchSize = 8;

/**
 * Prepares a question with its answer: visual tokens, prompt, answer, end. The loss counts the answer and the end.
 * @throws Error naming a word that is not in the vocabulary
 */
export function prepareQuestion({ image, prompt, answer }: DrawnQuestion, tokenizer: Tokenizer): Example {
  const picture = preparePicture(image);
  const asked = [...new Array<number>(picture.tokens).fill(tokenizer.padId), ...tokenizer.encode(prompt)];
  const answered = [...tokenizer.encode(answer), tokenizer.endId];
  return {
    ids: Int32Array.from([...asked, ...answered]),
    labels: Int32Array.from([...asked.map(() => noLabel), ...answered]),
    pictures: [picture],
  };
}

function preparePicture(image: Uint8Array): PreparedPicture {
  const normalised = Float32Array.from(image, (value) => (value / 255 - pixelMean) / pixelDeviation);
  return patchesOf(normalised, pictureSize, patchSize);
}

/**
 * Cuts a square picture into patches, row by row; pixels of a patch row by row, channels innermost.
 * @param pixels [side, side, 3], normalised
 */
export function patchesOf(pixels: Float32Array, side: number, patchSize: number): PreparedPicture {
  const grid = side / patchSize;
  const patches = new Float32Array(pixels.length);
  const rowLength = patchSize * 3;
  let at = 0;
  for (let patch = 0; patch < grid * grid; patch++)
    for (let y = 0; y < patchSize; y++) {
      const row = Math.floor(patch / grid) * patchSize + y;
      const from = (row * side + (patch % grid) * patchSize) * 3;
      patches.set(pixels.subarray(from, from + rowLength), at);
      at += rowLength;
    }
  return { patches, rows: grid * grid, tokens: grid * grid, grids: [[grid, grid]], size: [side, side] };
}
