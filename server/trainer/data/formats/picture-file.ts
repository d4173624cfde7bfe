import { createHash } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import { z } from 'zod';
import { decodePicture, PictureError } from '../decode-picture.js';
import type { RgbPicture } from '../rgb-picture.js';
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
 * Reads a picture at the built-in model's size: pictureSize x pictureSize x 3 bytes. The whole picture is squeezed into
 * the square, each pixel the mean of its area.
 * @throws Error with the place when it is broken, too large or of another format
 */
export async function readPicture(place: Place, source: PictureSource): Promise<Uint8Array> {
  const bytes = typeof source === 'string' ? await readFile(source) : source;
  try {
    return squeeze(await decodePicture(bytes));
  } catch (error) {
    if (!(error instanceof PictureError)) throw error;
    const name = typeof source === 'string' ? source : 'the picture in the record';
    throw new DataError(place, `${name} ${error.wrong}`, error.todo);
  }
}

/** Means over areas: a pixel on a border counts with the share that is inside. First within rows, then over rows. */
function squeeze({ width, height, data }: RgbPicture): Uint8Array {
  const across = shares(width);
  const down = shares(height);
  const sums = new Float64Array(pictureSize * pictureSize * 3);
  const row = new Float64Array(pictureSize * 3);
  for (let y = 0; y < pictureSize; y++)
    for (const [line, lineShare] of down[y]!) {
      row.fill(0);
      for (let x = 0; x < pictureSize; x++)
        for (const [column, share] of across[x]!) {
          const at = (line * width + column) * 3;
          for (let channel = 0; channel < 3; channel++) row[x * 3 + channel]! += share * data[at + channel]!;
        }
      for (let i = 0; i < row.length; i++) sums[y * row.length + i]! += lineShare * row[i]!;
    }
  return Uint8Array.from(sums, Math.round);
}

/** For each of pictureSize equal parts of a length: the pixels it covers and the share, 0..1, that each makes up. */
function shares(length: number): (readonly [pixel: number, share: number])[][] {
  const part = length / pictureSize;
  return Array.from({ length: pictureSize }, (_, index) => {
    const [from, to] = [index * part, (index + 1) * part];
    const covered: (readonly [number, number])[] = [];
    for (let pixel = Math.floor(from); pixel < Math.min(length, Math.ceil(to)); pixel++)
      covered.push([pixel, (Math.min(to, pixel + 1) - Math.max(from, pixel)) / part]);
    return covered;
  });
}
