import sharp, { type Sharp } from 'sharp';
import { describe, expect, it } from 'vitest';
import { pictureSize } from '../task.js';
import { findPicture, readPicture } from './picture-file.js';

const place = { file: 'set.json', record: 4 };
type Rgb = readonly [number, number, number];
function pixels(width: number, height: number, colour: (x: number, y: number) => Rgb): Sharp {
  const data = Buffer.alloc(width * height * 3);
  for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) data.set(colour(x, y), (y * width + x) * 3);
  return sharp(data, { raw: { width, height, channels: 3 } });
}
const png = (width: number, height: number, colour: (x: number, y: number) => Rgb): Promise<Buffer> =>
  pixels(width, height, colour).png().toBuffer();
const at = (image: Uint8Array, x: number, y: number): number[] => [
  ...image.slice((y * pictureSize + x) * 3, (y * pictureSize + x) * 3 + 3),
];

describe('pictures of a data set', () => {
  it('of the right size stay unchanged', async () => {
    const colour = (x: number, y: number): Rgb => [x * 7, y * 7, x + y];
    const image = await readPicture(place, await png(pictureSize, pictureSize, colour));
    for (const [x, y] of [
      [0, 0],
      [31, 0],
      [5, 17],
      [31, 31],
    ] as const)
      expect(at(image, x, y)).toEqual(colour(x, y));
  });

  it('become means of areas: two by three alternating pixels of 0 and 90 give 45', async () => {
    const image = await readPicture(place, await png(64, 96, (x) => (x % 2 === 0 ? [0, 0, 0] : [90, 60, 30])));
    expect(at(image, 0, 0)).toEqual([45, 30, 15]);
    expect(at(image, 31, 31)).toEqual([45, 30, 15]);
  });

  it('count a pixel on a border with the share that is inside', async () => {
    // 48 pixels become 32: a part is one and a half, so the first is pixel 0 and half of pixel 1.
    const image = await readPicture(place, await png(48, 32, (x) => (x === 1 ? [150, 0, 0] : [0, 0, 0])));
    expect([at(image, 0, 0)[0], at(image, 1, 0)[0], at(image, 2, 0)[0]]).toEqual([50, 50, 0]);
  });

  it('may be smaller than the model’s', async () => {
    const image = await readPicture(place, await png(1, 2, (_, y) => (y === 0 ? [10, 20, 30] : [200, 100, 0])));
    expect(at(image, 31, 15)).toEqual([10, 20, 30]);
    expect(at(image, 0, 16)).toEqual([200, 100, 0]);
  });

  it('may be JPEG, with approximate colours', async () => {
    const halves = pixels(80, 40, (x) => (x < 40 ? [200, 30, 30] : [30, 30, 200]));
    const image = await readPicture(place, await halves.jpeg({ quality: 95 }).toBuffer());
    for (const [x, colour] of [
      [3, [200, 30, 30]],
      [28, [30, 30, 200]],
    ] as const)
      at(image, x, 16).forEach((value, channel) => expect(Math.abs(value - colour[channel]!)).toBeLessThan(8));
  });

  const colour = (x: number, y: number): Rgb => [x * 5, y * 5, 90];
  it.each([
    ['a text file', () => Buffer.from('hello'), /set\.json, record 4: .* is not in JPEG, .* format\. Convert/],
    ['an empty file', () => Buffer.alloc(0), /is not in JPEG, .* format/],
    [
      'a PNG cut short',
      async () => (await png(40, 40, colour)).subarray(0, -30),
      /set\.json, record 4: .* is broken \(.+\)\. Replace it/,
    ],
    [
      'a JPEG cut short',
      async () => (await pixels(40, 40, colour).jpeg().toBuffer()).subarray(0, 200),
      /set\.json, record 4: .* is broken \(.+\)\. Replace it/,
    ],
  ])('that are %s are refused with place and remedy', async (_, bytes, message) => {
    await expect(readPicture(place, await bytes())).rejects.toThrow(message);
  });

  it('of 108 megapixels are read', async () => {
    const large = sharp({ create: { width: 12_000, height: 9_000, channels: 3, background: '#c87828' } });
    const image = await readPicture(place, await large.jpeg().toBuffer());
    at(image, 31, 31).forEach((value, channel) => expect(value).toBeCloseTo([200, 120, 40][channel]!, -1));
  });

  it('that are missing are refused with the searched places', () => {
    expect(() => findPicture(place, { path: '/nowhere' }, 'a.png')).toThrow(
      /record 4: there is no picture .*a\.png \(nor .*images.*a\.png\)\. Put it there/,
    );
    expect(() => findPicture(place, { path: '/nowhere' }, { bytes: null, path: null })).toThrow(
      /neither the bytes nor the path/,
    );
  });
});
