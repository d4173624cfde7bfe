import { describe, expect, it } from 'vitest';
import type { Size } from '../layers/anyres.js';
import { fitLongest, fitTiles, patchOrder, pictureText, positionBuckets } from './tiles.js';

describe('fitLongest', () => {
  it.each<[Size, number, Size]>([
    [[480, 640], 2048, [1536, 2048]],
    [[640, 480], 2048, [2048, 1536]],
    // 1536 / 3 * 1.3333... is cut off, then made even.
    [[333, 1000], 1000, [334, 1000]],
    [[1000, 333], 1000, [1000, 334]],
    [[1, 5000], 100, [1, 100]],
    [[50, 50], 364, [364, 364]],
    // 4K is the limit.
    [[100, 200], 5000, [2048, 4096]],
    [[200, 100], 5000, [4096, 2048]],
  ])('makes of %j within %i pixels %j', (size, longest, wanted) => {
    expect(fitLongest(size, longest)).toEqual(wanted);
  });
});

describe('fitTiles', () => {
  it.each<[Size, number, Size]>([
    [[1536, 2048], 512, [1536, 2048]],
    [[1200, 2048], 512, [1536, 2048]],
    [[2048, 300], 512, [2048, 512]],
    [[1, 100], 64, [64, 128]],
    // The longer side grows from 65 to 128, so that the other becomes 126 and not 64.
    [[64, 65], 64, [128, 128]],
  ])('makes of %j in tiles of %i pixels %j', (size, tile, wanted) => {
    expect(fitTiles(size, tile)).toEqual(wanted);
  });
});

it('takes the patches of a block one after another', () => {
  expect([...patchOrder(4, 2)]).toEqual([0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15]);
  expect([...patchOrder(3, 3)]).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8]);
});

describe('positionBuckets', () => {
  it.each([2, 7, 26, 27, 32])('is the identity for a tile of the pretrained side, %i', (side) => {
    expect([...positionBuckets(side, side)]).toEqual(Array.from({ length: side ** 2 }, (_, at) => at));
  });

  it('spreads a smaller tile over the grid', () => {
    expect([...positionBuckets(2, 4)]).toEqual([0, 2, 8, 10]);
    expect([...positionBuckets(3, 4)].slice(0, 3)).toEqual([0, 1, 2]);
    expect([...positionBuckets(4, 2)].slice(0, 8)).toEqual([0, 0, 1, 1, 0, 0, 1, 1]);
  });
});

describe('pictureText', () => {
  const fake = '<fake_token_around_image>';
  it('names the place of each tile, and the whole picture last', () => {
    expect(pictureText({ rows: 2, columns: 2 }, 2)).toBe(
      `${fake}<row_1_col_1><image><image>${fake}<row_1_col_2><image><image>\n` +
        `${fake}<row_2_col_1><image><image>${fake}<row_2_col_2><image><image>\n` +
        `\n${fake}<global-img><image><image>${fake}`,
    );
  });
  it('is short for a picture of one tile', () => {
    expect(pictureText(undefined, 1)).toBe(`${fake}<global-img><image>${fake}`);
  });
});
