import { describe, expect, it } from 'vitest';
import type { Size } from '../layers/anyres.js';
import { patchPositions, smartResize, textPositions, windowsOf } from './grid.js';

const published = { least: 3136, most: 12_845_056 };
const narrow = { least: 200_704, most: 1_605_632 };
const tokens = ([height, width]: Size): number => (height * width) / 28 ** 2;

describe('smartResize', () => {
  it.each<[Size, Size, number, Size, number]>([
    [[336, 336], [336, 336], 144, [448, 448], 256],
    [[480, 640], [476, 644], 391, [476, 644], 391],
    [[640, 480], [644, 476], 391, [644, 476], 391],
    [[899, 1024], [896, 1036], 1184, [896, 1036], 1184],
    [[1024, 1024], [1036, 1036], 1369, [1036, 1036], 1369],
    [[1080, 1920], [1092, 1932], 2691, [924, 1680], 1980],
    [[200, 1000], [196, 1008], 252, [224, 1008], 288],
    [[224, 224], [224, 224], 64, [448, 448], 256],
    [[3000, 2000], [2996, 1988], 7597, [1540, 1008], 1980],
  ])(
    'makes of %j a picture of %j with %i tokens, or of %j with %i within other limits',
    (size, wide, many, tight, few) => {
      expect(smartResize(size, 28, published)).toEqual(wide);
      expect(tokens(wide)).toBe(many);
      expect(smartResize(size, 28, narrow)).toEqual(tight);
      expect(tokens(tight)).toBe(few);
    },
  );

  it('rounds halves to even, as Python does', () => {
    const free = { least: 1, most: Infinity };
    expect([42, 70, 98, 126].map((side) => smartResize([side, side], 28, free)[0])).toEqual([56, 56, 112, 112]);
  });

  it('enlarges a picture of which nothing would be left', () => {
    expect(smartResize([10, 2000], 28, published)).toEqual([28, 812]);
  });

  it('refuses a picture of more than 200 times its width', () => {
    expect(smartResize([1, 200], 28, published)).toEqual([28, 812]);
    expect(() => smartResize([1, 201], 28, published)).toThrow(/201 x 1 pixels is too narrow.*200 times/);
    expect(() => smartResize([4020, 20], 28, published)).toThrow(/20 x 4020 pixels/);
    expect(() => smartResize([0, 0], 28, published)).toThrow(/0 x 0 pixels/);
  });
});

it('orders patches by cell', () => {
  const { rows, columns } = patchPositions([4, 6], 2);
  const pairs = [...rows].map((row, at) => [row, columns[at]!]);
  // prettier-ignore
  expect(pairs).toEqual([
    [0, 0], [0, 1], [1, 0], [1, 1], [0, 2], [0, 3], [1, 2], [1, 3], [0, 4], [0, 5], [1, 4], [1, 5],
    [2, 0], [2, 1], [3, 0], [3, 1], [2, 2], [2, 3], [3, 2], [3, 3], [2, 4], [2, 5], [3, 4], [3, 5],
  ]);
});

describe('windowsOf', () => {
  it('takes windows row by row, the last ones smaller', () => {
    const { order, lengths } = windowsOf([4, 6], 4);
    // prettier-ignore
    expect([...order]).toEqual([0, 1, 2, 3, 6, 7, 8, 9, 12, 13, 14, 15, 18, 19, 20, 21, 4, 5, 10, 11, 16, 17, 22, 23]);
    expect(lengths).toEqual([16, 8]);
  });

  it('has small windows at the right and at the bottom', () => {
    // 12 x 10 patches: transformers' cu_seqlens are 0, 64, 80, 112, 120.
    expect(windowsOf([6, 5], 4).lengths.map((cells) => cells * 4)).toEqual([64, 16, 32, 8]);
  });

  it('has no empty windows where the grid is a multiple of them', () => {
    expect(windowsOf([4, 8], 4).lengths).toEqual([16, 16]);
    expect([...windowsOf([1, 1], 4).order]).toEqual([0]);
  });
});

describe('textPositions', () => {
  const [start, picture, end] = [90, 91, 92];
  const cells = (count: number): number[] => Array.from({ length: count }, () => picture);

  it('counts the rows and columns of a picture', () => {
    const ids = Int32Array.of(1, 2, start, ...cells(6), end, 3, 4);
    const { axes, next } = textPositions(ids, [[2, 3]], picture);
    expect(axes.map((axis) => [...axis])).toEqual([
      [0, 1, 2, 3, 3, 3, 3, 3, 3, 6, 7, 8],
      [0, 1, 2, 3, 3, 3, 4, 4, 4, 6, 7, 8],
      [0, 1, 2, 3, 4, 5, 3, 4, 5, 6, 7, 8],
    ]);
    expect(next).toBe(9);
  });

  it('goes on after the longest side of each of several pictures', () => {
    const ids = Int32Array.of(...cells(3), ...cells(2), 1);
    const { axes, next } = textPositions(ids, [[3, 1], [1, 2]], picture); // prettier-ignore
    expect(axes.map((axis) => [...axis])).toEqual([
      [0, 0, 0, 3, 3, 5],
      [0, 1, 2, 3, 3, 5],
      [0, 0, 0, 3, 4, 5],
    ]);
    expect(next).toBe(6);
  });

  it('refuses a picture whose placeholders are interrupted', () => {
    const ids = Int32Array.of(picture, 1, picture);
    expect(() => textPositions(ids, [[1, 2]], picture)).toThrow(/fewer than 2 placeholders side by side.*picture 1/);
  });
});
