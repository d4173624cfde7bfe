import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DataFormat } from './data-format.js';
import { firstFile } from './picture-file.js';
import { dataError } from './record-file.js';

/**
 * CUB-200-2011 (Wah et al. 2011) as its archive unpacks: `images.txt`, `image_class_labels.txt`, `train_test_split.txt`
 * and `classes.txt`, each a number and a value a line, and `images/`. Its own split is kept. The answer is the name of
 * the species, "black footed albatross" for `001.Black_footed_Albatross`.
 */
export const readCub200: DataFormat = async function* (folder) {
  const unpacked = join(folder, 'CUB_200_2011');
  const root = existsSync(unpacked) ? unpacked : folder;
  const images = await readList(root, 'images.txt');
  const [labels, splits, classes] = [
    await readList(root, 'image_class_labels.txt'),
    await readList(root, 'train_test_split.txt'),
    await readList(root, 'classes.txt'),
  ];
  const file = join(root, 'images.txt');
  for (const [id, { value: path, line }] of images) {
    const place = { file, record: line };
    const valueIn = (list: typeof images, name: string, key: string, what: string): string => {
      const found = list.get(key);
      if (!found) throw dataError(place, `${name} has no ${what} ${key}`, 'Unpack the archive anew.');
      return found.value;
    };
    const label = valueIn(labels, 'image_class_labels.txt', id, 'image');
    const training = valueIn(splits, 'train_test_split.txt', id, 'image');
    const name = valueIn(classes, 'classes.txt', label, 'class');
    yield {
      ...place,
      picture: firstFile(place, [join(root, 'images', path)]),
      prompt: 'which bird is this ?',
      answer: name.replace(/^\d+\./, '').replaceAll('_', ' '),
      split: training === '1' ? 'train' : 'evaluation',
    };
  }
};

/** The lines `<number> <value>` of a file, by number. */
async function readList(root: string, name: string): Promise<Map<string, { value: string; line: number }>> {
  const file = join(root, name);
  if (!existsSync(file)) throw new Error(`${file} is missing. Give the folder that CUB_200_2011.tgz unpacks to.`);
  const list = new Map<string, { value: string; line: number }>();
  for (const [index, text] of (await readFile(file, 'utf8')).split('\n').entries()) {
    if (text.trim() === '') continue;
    const [, id, value] = /^(\d+) (\S.*)$/.exec(text.trim()) ?? [];
    if (id === undefined || value === undefined)
      throw dataError({ file, record: index + 1 }, `"${text}" is not a number and a value`, 'Unpack the archive anew.');
    list.set(id, { value, line: index + 1 });
  }
  return list;
}
