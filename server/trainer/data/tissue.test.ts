import { describe, expect, it } from 'vitest';
import { readFileSync } from 'node:fs';
import { gunzipSync } from 'node:zlib';
import { Rng } from '@plumbline/shared/rng';
import { assetPath } from '../asset.js';
import { pictureSize, splits, type DrawnQuestion, type Split } from './task.js';
import { brownShares, splitRows, surfaces, tissueTask } from './tissue.js';

const packedSize = 256;
const packed = gunzipSync(readFileSync(assetPath('data/tissue/pictures.bin.gz')));
const draw = (split: Split, seed: number, count: number): DrawnQuestion[] => {
  const rng = new Rng(seed);
  return Array.from({ length: count }, () => tissueTask.sample(rng, split));
};

/** Every place in the packed pictures that equals this crop, as [surface, first row]. */
function places(image: Uint8Array): [string, number][] {
  const line = (y: number): Uint8Array => image.subarray(y * pictureSize * 3, (y + 1) * pictureSize * 3);
  const found: [string, number][] = [];
  for (let at = packed.indexOf(line(0)); at >= 0; at = packed.indexOf(line(0), at + 1)) {
    const row = Math.floor(at / (packedSize * 3));
    const below = (y: number): Buffer => packed.subarray(at + y * packedSize * 3).subarray(0, pictureSize * 3);
    if (Array.from({ length: pictureSize }, (_, y) => below(y).equals(line(y))).every(Boolean))
      found.push([surfaces[Math.floor(row / packedSize)]!, row % packedSize]);
  }
  return found;
}

describe('tissue questions', () => {
  it('are cut from rows that the other split never uses', () => {
    expect(splitRows.train[1]).toBeLessThanOrEqual(splitRows.evaluation[0]);
    for (const split of splits)
      for (const { image } of draw(split, 4, 40)) {
        const found = places(image);
        expect(found.length).toBeGreaterThan(0);
        for (const [, row] of found) {
          expect(row).toBeGreaterThanOrEqual(splitRows[split][0]);
          expect(row + pictureSize).toBeLessThanOrEqual(splitRows[split][1]);
        }
      }
  });

  it('name the picture of the crop', () => {
    const asked = draw('evaluation', 5, 120).filter(({ prompt }) => prompt === 'which surface is this ?');
    expect(new Set(asked.map(({ answer }) => answer))).toEqual(new Set(surfaces));
    for (const { image, answer } of asked) expect(places(image).map(([surface]) => surface)).toContain(answer);
  });

  it('match the stains of the crop', () => {
    for (const { image, prompt, answer } of draw('evaluation', 6, 200)) {
      const { whole, left, right } = brownShares(image);
      if (prompt === 'is the tissue stained brown ?') expect(answer).toBe(whole > 0.5 ? 'yes' : 'no');
      if (prompt === 'which side is stained ?') expect(answer).toBe(left > right ? 'left' : 'right');
    }
  });

  it('measure brown by halves: DAB brown on the left, haematoxylin blue on the right', () => {
    const image = new Uint8Array(pictureSize * pictureSize * 3);
    for (let pixel = 0; pixel < pictureSize * pictureSize; pixel++)
      image.set(pixel % pictureSize < pictureSize / 2 ? [150, 100, 60] : [130, 140, 190], pixel * 3);
    expect(brownShares(image)).toEqual({ whole: 0.5, left: 1, right: 0 });
  });
});
