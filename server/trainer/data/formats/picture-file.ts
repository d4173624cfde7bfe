import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import jpeg from 'jpeg-js';
import { PNG } from 'pngjs';
import { z } from 'zod';
import { pictureSize } from '../task.js';
import { folderOf, type DataSet } from './data-set.js';
import { DataError, type Place } from './record.js';

/** A picture of a data set: a file, or the bytes from inside a table. */
export type PictureSource = string | Uint8Array;

/** A key of the picture: its file's path, or a digest of its bytes. */
export const pictureKey = (source: PictureSource): string =>
  typeof source === 'string' ? source : createHash('sha1').update(source).digest('hex');

/** A record's reference to its picture: a path, or the value of Hugging Face's `Image` column. */
export const PictureField = z.union([
  z.string().min(1),
  z.object({ bytes: z.instanceof(Uint8Array).nullish(), path: z.string().nullish() }),
]);

/** The picture folder of a layout, e.g. `images`, or the folder given instead. */
export const pictureFolder = (set: DataSet, name: string): string => set.images ?? join(folderOf(set), name);

/**
 * Finds a record's picture. A relative path is searched in the data set's folder and in `images` in it, or in the
 * folder given for pictures.
 * @throws Error with the place and the remedy when there is none
 */
export function findPicture(place: Place, set: DataSet, field: z.infer<typeof PictureField>): PictureSource {
  if (typeof field === 'object' && field.bytes) return field.bytes;
  const path = typeof field === 'object' ? field.path : field;
  if (!path)
    throw new DataError(place, 'it has neither the bytes nor the path of a picture', 'Remove the record, or add one.');
  if (isAbsolute(path)) return firstFile(place, [path]);
  const roots = set.images === undefined ? [folderOf(set), pictureFolder(set, 'images')] : [set.images];
  return firstFile(
    place,
    roots.map((root) => join(root, path)),
  );
}

/**
 * The first of the paths that is a file.
 * @throws Error with the place and the first of the paths when none is
 */
export function firstFile(place: Place, paths: readonly string[]): string {
  const found = paths.find((path) => existsSync(path) && statSync(path).isFile());
  if (found !== undefined) return found;
  const also = paths.length > 1 ? ` (nor ${paths.slice(1).join(', ')})` : '';
  throw new DataError(place, `there is no picture ${paths[0]}${also}`, 'Put it there, or remove the record.');
}

/**
 * Reads a PNG or JPEG picture at the model's size: pictureSize x pictureSize x 3 bytes. The whole picture is squeezed
 * into the square, each pixel the mean of its area. Transparency and the camera's rotation (EXIF) are ignored.
 * @throws Error with the place when it is broken or of another type
 */
export async function readPicture(place: Place, source: PictureSource): Promise<Uint8Array> {
  const bytes = typeof source === 'string' ? await readFile(source) : source;
  const name = typeof source === 'string' ? source : 'the picture in the record';
  const decode =
    bytes[0] === 0x89 && bytes[1] === 0x50
      ? decodePng
      : bytes[0] === 0xff && bytes[1] === 0xd8
        ? decodeJpeg
        : undefined;
  if (!decode) throw new DataError(place, `${name} is neither PNG nor JPEG`, 'Convert it to one of them.');
  try {
    return squeeze(decode(bytes));
  } catch (error) {
    const why = `${name} is broken (${(error as Error).message})`;
    throw new DataError(place, why, 'Replace the picture, or remove the record.');
  }
}

/** Four bytes a pixel, red green blue alpha, row by row. */
interface Decoded {
  width: number;
  height: number;
  data: Uint8Array;
}
const decodePng = (bytes: Uint8Array): Decoded => PNG.sync.read(Buffer.from(bytes));
const decodeJpeg = (bytes: Uint8Array): Decoded =>
  jpeg.decode(bytes, { useTArray: true, tolerantDecoding: false, maxMemoryUsageInMB: 2048 });

/** Means over areas: a pixel on a border counts with the share that is inside. */
function squeeze({ width, height, data }: Decoded): Uint8Array {
  const across = shares(width);
  const down = shares(height);
  const image = new Uint8Array(pictureSize * pictureSize * 3);
  for (let y = 0; y < pictureSize; y++)
    for (let x = 0; x < pictureSize; x++) {
      const sum = [0, 0, 0];
      for (const [row, rowShare] of down[y]!)
        for (const [column, columnShare] of across[x]!)
          for (let channel = 0; channel < 3; channel++)
            sum[channel]! += rowShare * columnShare * data[(row * width + column) * 4 + channel]!;
      image.set(sum.map(Math.round), (y * pictureSize + x) * 3);
    }
  return image;
}

/** For each of pictureSize equal parts of a length: the pixels it covers and the share, 0..1, that each makes up. */
function shares(length: number): [pixel: number, share: number][][] {
  const part = length / pictureSize;
  return Array.from({ length: pictureSize }, (_, index) => {
    const [from, to] = [index * part, (index + 1) * part];
    const covered: [number, number][] = [];
    for (let pixel = Math.floor(from); pixel < Math.min(length, Math.ceil(to)); pixel++)
      covered.push([pixel, (Math.min(to, pixel + 1) - Math.max(from, pixel)) / part]);
    return covered;
  });
}
