import { join } from 'node:path';
import { z } from 'zod';
import { eachRecord, type DataFormat } from './data-format.js';
import { findPicture, firstFile, pictureFolder, PictureField } from './picture-file.js';
import { splitRecords } from './data-set.js';
import { parseRecord, WholeNumber } from './record.js';

const PixmoRecord = z
  .object({
    image: PictureField.nullish(),
    image_url: z.string().min(1).nullish(),
    image_sha256: z.string().min(1).nullish(),
    label: z.string().min(1),
    count: WholeNumber,
  })
  .refine(({ image, image_url, image_sha256 }) => image ?? image_url ?? image_sha256, 'it names no picture');

/**
 * PixmoCount (Deitke et al. 2024) as on the Hugging Face hub: rows of `image_url`, `image_sha256`, `label` and `count`,
 * in Parquet, CSV, JSON or JSON lines. The data set has addresses, not pictures, and nothing is downloaded here: a
 * picture is `images/<image_sha256>.jpg` (or `.png`), else `images/` and the last part of its address, else the path in
 * `image`.
 */
export const readPixmoCount: DataFormat = (set) =>
  eachRecord(splitRecords(set.path), (record) => {
    const { image, image_url, image_sha256, label, count } = parseRecord(
      PixmoRecord,
      record,
      'A record of PixmoCount has "image_url" or "image_sha256", a "label" and a "count" of 0 or more.',
    );
    const names = [
      ...(image_sha256 ? [`${image_sha256}.jpg`, `${image_sha256}.jpeg`, `${image_sha256}.png`] : []),
      ...(image_url
        ? [
            image_url
              .replace(/[?#].*$/, '')
              .split('/')
              .at(-1)!,
          ]
        : []),
    ];
    const picture = image
      ? findPicture(record, set, image)
      : firstFile(
          record,
          names.map((name) => join(pictureFolder(set, 'images'), name)),
        );
    return [{ ...record, picture, prompt: `how many ${label} are there ?`, answer: String(count) }];
  });
