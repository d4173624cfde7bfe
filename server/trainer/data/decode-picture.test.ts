import { readFileSync } from 'node:fs';
import { crc32 } from 'node:zlib';
import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { decodePicture } from './decode-picture.js';
import { resizePicture, type ResizeFilter } from './resize-picture.js';
import { maxPicturePixels } from './rgb-picture.js';

/** Written by fixtures/make-pictures.py: what Pillow makes of the same files. */
interface Rgb {
  width: number;
  height: number;
  rgb: string;
}
const fixture = JSON.parse(readFileSync(new URL('fixtures/pictures.json', import.meta.url), 'utf8')) as {
  decoded: Record<string, Rgb & { file: string }>;
  source: Rgb;
  resized: (Rgb & { filter: ResizeFilter })[];
};
const bytes = (text: string): Uint8Array => new Uint8Array(Buffer.from(text, 'base64'));
const picture = ({ width, height, rgb }: Rgb) => ({ width, height, data: bytes(rgb) });

describe('pictures are decoded as by Pillow', () => {
  it.each(Object.entries(fixture.decoded))('%s', async (_, expected) => {
    const { width, height, data } = await decodePicture(bytes(expected.file));
    expect({ width, height, data: new Uint8Array(data) }).toEqual(picture(expected));
  });
});

it('of 16 bits of each colour the upper 8 count', async () => {
  const values = Uint16Array.from({ length: 5 * 4 * 3 }, (_, i) => (i * 1091) % 65_536);
  const png = await sharp(values, { raw: { width: 5, height: 4, channels: 3 } })
    .toColourspace('rgb16')
    .png()
    .toBuffer();
  expect(await sharp(png).metadata()).toMatchObject({ depth: 'ushort', space: 'rgb16' });
  expect([...(await decodePicture(png)).data]).toEqual([...values].map((value) => value >> 8));
});

describe('pictures are resized as by Pillow', () => {
  it.each(fixture.resized)('$filter to $width x $height', ({ filter, ...expected }) => {
    expect(resizePicture(picture(fixture.source), expected, filter)).toEqual(picture(expected));
  });

  it.each([0, -3, 2.5])('and a side of %s pixels is refused', (width) => {
    expect(() => resizePicture(picture(fixture.source), { width, height: 4 }, 'bicubic')).toThrow(
      `24 x 18 pixels cannot become ${width} x 4`,
    );
  });
});

describe('a picture that cannot be decoded is refused', () => {
  const file = (name: string): Uint8Array => bytes(fixture.decoded[name]!.file);
  it.each([
    ['PNG', 60],
    ['JPEG', 60],
    ['JPEG', 200],
    ['progressive JPEG', 60],
    ['WebP', 60],
    ['GIF', 60],
    ['TIFF', 60],
  ])('a %s file without its last %i bytes', async (name, missing) => {
    const whole = file(name);
    await expect(decodePicture(whole.subarray(0, whole.length - missing))).rejects.toThrow(
      /^The picture is broken \(.+\)\. Replace it, or remove it\.$/,
    );
  });

  it.each([
    ['an empty file', new Uint8Array()],
    ['a text file', Buffer.from('hello')],
    ['a drawing', Buffer.from('<svg xmlns="http://www.w3.org/2000/svg" width="4" height="4"><rect/></svg>')],
  ])('%s', async (_, content) => {
    await expect(decodePicture(content)).rejects.toThrow(
      'The picture is not in JPEG, PNG, WebP, GIF or TIFF format. Convert it to one of these.',
    );
  });

  it('one of huge dimensions, by its header alone', async () => {
    const small = await sharp({ create: { width: 4, height: 4, channels: 3, background: 'red' } })
      .png()
      .toBuffer();
    // Width and height of a PNG stand at 16 and 20, with the check sum of the header behind.
    const header = Buffer.from(small.subarray(0, 33));
    header.writeUInt32BE(60_000, 16);
    header.writeUInt32BE(50_000, 20);
    header.writeUInt32BE(crc32(header.subarray(12, 29)), 29);
    await expect(decodePicture(Buffer.concat([header, small.subarray(33)]))).rejects.toThrow(
      `The picture has 60000 x 50000 pixels, and a picture has at most ${maxPicturePixels}. Make it smaller`,
    );
  });
});
