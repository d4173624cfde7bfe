import sharp from 'sharp';
import { maxPicturePixels, type RgbPicture } from './rgb-picture.js';

/** Formats that are decoded; of an animation, the first frame. */
const formats: Readonly<Record<string, string>> = {
  jpeg: 'JPEG',
  png: 'PNG',
  webp: 'WebP',
  gif: 'GIF',
  tiff: 'TIFF',
};
const names = Object.values(formats);
/** `JPEG, PNG, WebP, GIF or TIFF` */
const formatList = `${names.slice(0, -1).join(', ')} or ${names.at(-1)}`;

/** Why a picture cannot be decoded, and what to do. */
export class PictureError extends Error {
  constructor(
    /** Goes on after the picture's name: `is broken (...)`. */
    readonly wrong: string,
    readonly todo: string,
  ) {
    super(`The picture ${wrong}. ${todo}`);
  }
}

/**
 * Decodes a picture file. The camera's rotation (EXIF) is applied. Grey, palette, 16-bit and CMYK pictures become RGB,
 * and transparency and colour profiles are dropped, as in Pillow's `convert("RGB")`; of 16 bits the upper 8 count.
 * @throws PictureError when it is of another format, truncated, broken or too large; the size is read before decoding
 */
export async function decodePicture(bytes: Uint8Array): Promise<RgbPicture> {
  const { format, space, width, height } = await readHeader(bytes);
  if (!formats[format]) throw notAPicture();
  if (width * height > maxPicturePixels)
    throw new PictureError(
      `has ${width} x ${height} pixels, and a picture has at most ${maxPicturePixels}`,
      'Make it smaller, or remove it.',
    );
  const source = sharp(bytes, { failOn: 'error', ignoreIcc: true, limitInputPixels: maxPicturePixels }).autoOrient();
  // libvips would convert CMYK through a printer's profile.
  const pixels =
    space === 'cmyk'
      ? source.pipelineColourspace('cmyk').toColourspace('cmyk')
      : source.removeAlpha().toColourspace('srgb');
  try {
    const { data, info } = await pixels.raw().toBuffer({ resolveWithObject: true });
    const rgb = space === 'cmyk' ? cmykToRgb(data, info.channels) : data;
    return { width: info.width, height: info.height, data: rgb };
  } catch (error) {
    throw broken(error);
  }
}

const notAPicture = (): PictureError =>
  new PictureError(`is not in ${formatList} format`, 'Convert it to one of these.');
function broken(error: unknown): PictureError {
  // libvips tells each fault on a line, often more than once.
  const faults = new Set((error as Error).message.trim().split('\n'));
  return new PictureError(`is broken (${[...faults].join('; ')})`, 'Replace it, or remove it.');
}

async function readHeader(
  bytes: Uint8Array,
): Promise<{ format: string; space: string; width: number; height: number }> {
  if (bytes.length === 0) throw notAPicture();
  try {
    const { format, space, width, height } = await sharp(bytes, { limitInputPixels: false }).metadata();
    return { format: format ?? '', space: space ?? '', width, height };
  } catch (error) {
    if (/unsupported image format/.test((error as Error).message)) throw notAPicture();
    throw broken(error);
  }
}

/** R = (255 - K) (255 - C) / 255, and so for G and B, as Pillow converts. */
function cmykToRgb(cmyk: Uint8Array, channels: number): Uint8Array {
  const rgb = new Uint8Array((cmyk.length / channels) * 3);
  for (let from = 0, to = 0; from < cmyk.length; from += channels, to += 3) {
    const light = 255 - cmyk[from + 3]!;
    for (let channel = 0; channel < 3; channel++)
      rgb[to + channel] = Math.round((light * (255 - cmyk[from + channel]!)) / 255);
  }
  return rgb;
}
