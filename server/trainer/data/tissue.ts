import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import type { Rng } from '@plumbline/shared/rng';
import { assetPath } from '../asset.js';
import { pictureSize, type DrawnQuestion, type Split, type Task } from './task.js';

/** The packed pictures, in file order: three textures and a slide of colon tissue, see tissue/pack.py. */
export const surfaces = ['brick', 'grass', 'gravel', 'tissue'] as const;
type Surface = (typeof surfaces)[number];

/** Width and height of a packed picture. */
const packedSize = 256;
/**
 * The rows of each split's crops: the lowest quarter of each picture is for evaluation, so that no pixel is in both.
 * Like the rest of the slide, its lowest quarter has stained glands, unstained tissue between them and a lumen.
 */
export const splitRows = { train: [0, 192], evaluation: [192, 256] } as const satisfies Record<Split, [number, number]>;

let packed: Uint8Array | undefined;
const loadPacked = (): Uint8Array =>
  (packed ??= gunzipSync(readFileSync(assetPath('data/tissue/pictures.bin.gz'))) as Uint8Array);

type Crop = Pick<DrawnQuestion, 'image' | 'content'>;

/**
 * A crop of 32x32 pixels anywhere within the split's rows. Crops overlap, so the content of a crop is the 32x32 tile of
 * the picture that contains its middle: crops of one tile share most pixels.
 */
function crop(rng: Rng, split: Split, surface: Surface): Crop {
  const [first, end] = splitRows[split];
  const top = first + rng.integer(end - first - pictureSize + 1);
  const left = rng.integer(packedSize - pictureSize + 1);
  const pixels = loadPacked();
  const image = new Uint8Array(pictureSize * pictureSize * 3);
  for (let y = 0; y < pictureSize; y++) {
    const at = ((surfaces.indexOf(surface) * packedSize + top + y) * packedSize + left) * 3;
    image.set(pixels.subarray(at, at + pictureSize * 3), y * pictureSize * 3);
  }
  const part = [top, left].map((edge) => Math.floor((edge + pictureSize / 2) / pictureSize));
  return { image, content: `${surface} ${part.join(' ')}` };
}

/** DAB stains brown: far more red than blue. Haematoxylin and unstained tissue have no more red than blue. */
const brownExcess = 30;

/** Shares of brown pixels, 0..1, in the whole crop and in its left and right half. */
export function brownShares(image: Uint8Array): { whole: number; left: number; right: number } {
  const counts = { left: 0, right: 0 };
  for (let pixel = 0; pixel < pictureSize * pictureSize; pixel++)
    if (image[pixel * 3]! - image[pixel * 3 + 2]! > brownExcess)
      counts[pixel % pictureSize < pictureSize / 2 ? 'left' : 'right']++;
  const half = (pictureSize * pictureSize) / 2;
  return { whole: (counts.left + counts.right) / (2 * half), left: counts.left / half, right: counts.right / half };
}

/** Draws crops of the slide until `holds` accepts one (at least one in fifty, for each question). */
function tissueWhere(rng: Rng, split: Split, holds: (shares: ReturnType<typeof brownShares>) => boolean): Crop {
  for (;;) {
    const found = crop(rng, split, 'tissue');
    if (holds(brownShares(found.image))) return found;
  }
}

/**
 * The questions, drawn equally often: a surface, a yes or no, and a place, like PathVQA. The answers are measured on
 * the crop; crops that are neither clearly stained nor clearly unstained are not used.
 */
const questions: readonly ((rng: Rng, split: Split) => DrawnQuestion)[] = [
  (rng, split) => {
    const surface = rng.pick(surfaces);
    return { ...crop(rng, split, surface), prompt: 'which surface is this ?', answer: surface };
  },
  (rng, split) => {
    const stained = rng.uniform() < 0.5;
    const found = tissueWhere(rng, split, ({ whole }) => (stained ? whole > 0.6 : whole < 0.2));
    return { ...found, prompt: 'is the tissue stained brown ?', answer: stained ? 'yes' : 'no' };
  },
  (rng, split) => {
    const side = rng.pick(['left', 'right'] as const);
    const other = side === 'left' ? 'right' : 'left';
    const found = tissueWhere(rng, split, (shares) => shares[side] - shares[other] > 0.4);
    return { ...found, prompt: 'which side is stained ?', answer: side };
  },
];

/** Questions about public pictures from outside this project; a guess is right in 1 of 4, 1 of 2 and 1 of 2 cases. */
export const tissueTask: Task = {
  name: 'tissue',
  kind: 'target',
  chance: (100 / 4 + 100 / 2 + 100 / 2) / 3,
  sample: (rng, split) => rng.pick(questions)(rng, split),
};
