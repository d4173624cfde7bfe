import { existsSync } from 'node:fs';
import { Readable } from 'node:stream';
import { join } from 'node:path';
import { eachRecord, type DataFormat } from './data-format.js';
import { firstFile } from './picture-file.js';
import { linesOf } from './record-file.js';
import { DataError, type Place } from './record.js';

/**
 * CUB-200-2011 (Wah et al. 2011) as its archive unpacks: `images.txt`, `image_class_labels.txt`, `train_test_split.txt`
 * and `classes.txt`, each with a number and a value per line, and `images/`. Keeps the data set's own split. The answer
 * is the name of the species, "black footed albatross" for `001.Black_footed_Albatross`.
 */
export const readCub200: DataFormat = async function* ({ path, images }) {
  const unpacked = join(path, 'CUB_200_2011');
  const root = existsSync(unpacked) ? unpacked : path;
  const lists = {
    images: await readList(root, 'images.txt'),
    labels: await readList(root, 'image_class_labels.txt', { form: /^\d+$/, else: 'not the number of a class' }),
    splits: await readList(root, 'train_test_split.txt', { form: /^[01]$/, else: 'neither 1 nor 0' }),
    classes: await readList(root, 'classes.txt'),
  };
  for (const { broken } of Object.values(lists)) yield* broken;
  for (const { values } of [lists.labels, lists.splits])
    for (const [id, { place }] of values)
      if (!lists.images.values.has(id))
        yield new DataError(place, `images.txt has no image ${id}`, 'Unpack the archive again.');
  const records = Readable.from(lists.images.values) as AsyncIterable<[string, ListValue]>;
  yield* eachRecord(records, ([id, { value, place }]) => {
    const valueIn = ({ name, values }: List, key: string, what: string): string => {
      const found = values.get(key);
      if (!found) throw new DataError(place, `${name} has no ${what} ${key}`, 'Unpack the archive again.');
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
  /** Values by number. */
  values: Map<string, ListValue>;
  broken: DataError[];
}

/**
 * The lines `<number> <value>` of a file.
 * @param values the form of a value, and the message for any other
 * @throws Error saying what to do when the file is missing or is not UTF-8
 */
async function readList(root: string, name: string, values?: { form: RegExp; else: string }): Promise<List> {
  const file = join(root, name);
  if (!existsSync(file)) throw new Error(`${file} is missing. Give the folder that CUB_200_2011.tgz unpacks to.`);
  const list: List = { name, values: new Map(), broken: [] };
  for await (const { number: record, text } of linesOf(file)) {
    const line = text?.trim() ?? 'a very long line';
    if (line === '') continue;
    const place = { file, record };
    const refuse = (wrong: string): void => {
      list.broken.push(new DataError(place, wrong, 'Unpack the archive again.'));
    };
    const [, id, value] = /^(\d+) (\S.*)$/.exec(line) ?? [];
    if (id === undefined || value === undefined) refuse(`"${line.slice(0, 200)}" is not a number and a value`);
    else if (values && !values.form.test(value)) refuse(`"${value.slice(0, 200)}" is ${values.else}`);
    else if (list.values.has(id)) refuse(`the number ${id} occurs twice`);
    else list.values.set(id, { value, place });
  }
  return list;
}
