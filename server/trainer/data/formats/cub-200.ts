import { existsSync } from 'node:fs';
import { Readable } from 'node:stream';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { eachRecord, type DataFormat } from './data-format.js';
import { firstFile } from './picture-file.js';
import { DataError, type Place } from './record-file.js';

/**
 * CUB-200-2011 (Wah et al. 2011) as its archive unpacks: `images.txt`, `image_class_labels.txt`, `train_test_split.txt`
 * and `classes.txt`, each a number and a value a line, and `images/`. Its own split is kept. The answer is the name of
 * the species, "black footed albatross" for `001.Black_footed_Albatross`.
 */
export const readCub200: DataFormat = async function* ({ path, images }) {
  const unpacked = join(path, 'CUB_200_2011');
  const root = existsSync(unpacked) ? unpacked : path;
  const lists = {
    images: await readList(root, 'images.txt'),
    labels: await readList(root, 'image_class_labels.txt'),
    splits: await readList(root, 'train_test_split.txt'),
    classes: await readList(root, 'classes.txt'),
  };
  for (const { broken } of Object.values(lists)) yield* broken;
  const records = Readable.from(lists.images.values) as AsyncIterable<[string, ListValue]>;
  yield* eachRecord(records, ([id, { value, place }]) => {
    const valueIn = ({ name, values }: List, key: string, what: string): string => {
      const found = values.get(key);
      if (!found) throw new DataError(place, `${name} has no ${what} ${key}`, 'Unpack the archive anew.');
      return found.value;
    };
    const label = valueIn(lists.labels, id, 'image');
    const training = valueIn(lists.splits, id, 'image');
    const name = valueIn(lists.classes, label, 'class');
    return [
      {
        ...place,
        picture: firstFile(place, [join(images ?? join(root, 'images'), value)]),
        prompt: 'which bird is this ?',
        answer: name.replace(/^\d+\./, '').replaceAll('_', ' '),
        split: training === '1' ? 'train' : 'evaluation',
      },
    ];
  });
};

interface ListValue {
  value: string;
  place: Place;
}
interface List {
  name: string;
  /** By number. */
  values: Map<string, ListValue>;
  broken: DataError[];
}

/** The lines `<number> <value>` of a file. */
async function readList(root: string, name: string): Promise<List> {
  const file = join(root, name);
  if (!existsSync(file)) throw new Error(`${file} is missing. Give the folder that CUB_200_2011.tgz unpacks to.`);
  const list: List = { name, values: new Map(), broken: [] };
  for (const [index, text] of (await readFile(file, 'utf8')).split('\n').entries()) {
    if (text.trim() === '') continue;
    const place = { file, record: index + 1 };
    const [, id, value] = /^(\d+) (\S.*)$/.exec(text.trim()) ?? [];
    if (id === undefined || value === undefined)
      list.broken.push(new DataError(place, `"${text}" is not a number and a value`, 'Unpack the archive anew.'));
    else list.values.set(id, { value, place });
  }
  return list;
}
