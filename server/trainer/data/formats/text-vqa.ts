import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { eachRecord, type DataFormat } from './data-format.js';
import { firstFile, pictureFolder } from './picture-file.js';
import { readRecords } from './record-file.js';
import { DataError, parseRecord } from './record.js';

const TextVqaRecord = z.object({
  image_id: z.string().min(1),
  question: z.string().min(1),
  answers: z.array(z.string()).min(1),
});
const files = { train: 'TextVQA_0.5.1_train.json', evaluation: 'TextVQA_0.5.1_val.json' } as const;

/**
 * TextVQA (Singh et al. 2019) in its own layout: `TextVQA_0.5.1_train.json` and `TextVQA_0.5.1_val.json`, the records
 * under `data`, and `train_images/<image_id>.jpg` for both. The most frequent of the ten people's answers counts, the
 * first one of equally frequent ones. Case and surrounding spaces do not matter, and empty answers are ignored. The
 * test file has no answers and is not read.
 */
export const readTextVqa: DataFormat = async function* (set) {
  for (const split of ['train', 'evaluation'] as const) {
    const file = join(set.path, files[split]);
    if (!existsSync(file)) throw new Error(`${file} is missing. Put TextVQA's own file there, under its own name.`);
    yield* eachRecord(readRecords(file, 'data'), (record) => {
      const layout = 'A record of TextVQA has an "image_id", a "question" and a list of "answers".';
      const { image_id, question, answers } = parseRecord(TextVqaRecord, record, layout);
      const picture = firstFile(record, [join(pictureFolder(set, 'train_images'), `${image_id}.jpg`)]);
      const answer = mostFrequent(answers);
      if (answer === undefined) throw new DataError(record, 'all of its answers are empty', layout);
      return [{ ...record, picture, prompt: question, answer, answers, split }];
    });
  }
};

/** The most frequent answer, in its most frequent spelling; undefined if all are empty. */
function mostFrequent(answers: readonly string[]): string | undefined {
  const given = answers.map((answer) => answer.trim()).filter((answer) => answer !== '');
  return largestGroup(
    largestGroup(given, (answer) => answer.toLowerCase()),
    String,
  )[0];
}

/** The largest group of texts with the same key; the first of equally large ones. */
function largestGroup(texts: readonly string[], key: (text: string) => string): string[] {
  const groups = new Map<string, string[]>();
  for (const text of texts) groups.set(key(text), [...(groups.get(key(text)) ?? []), text]);
  return [...groups.values()].reduce((best, next) => (next.length > best.length ? next : best), []);
}
