import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { eachRecord, type DataFormat } from './data-format.js';
import { firstFile, pictureFolder } from './picture-file.js';
import { parseRecord, readRecords } from './record-file.js';

const TextVqaRecord = z.object({
  image_id: z.string().min(1),
  question: z.string().min(1),
  answers: z.array(z.string()).min(1),
});
const files = { train: 'TextVQA_0.5.1_train.json', evaluation: 'TextVQA_0.5.1_val.json' } as const;

/**
 * TextVQA (Singh et al. 2019) as its site gives it: `TextVQA_0.5.1_train.json` and `TextVQA_0.5.1_val.json`, the
 * records under `data`, and `train_images/<image_id>.jpg` for both. Of the ten people's answers the most frequent one
 * counts, of equally frequent ones the first. The test file has no answers and is not read.
 */
export const readTextVqa: DataFormat = async function* (set) {
  for (const split of ['train', 'evaluation'] as const) {
    const file = join(set.path, files[split]);
    if (!existsSync(file)) throw new Error(`${file} is missing. Put TextVQA's own file there, under its own name.`);
    yield* eachRecord(readRecords(file, 'data'), (record) => {
      const layout = 'A record of TextVQA has an "image_id", a "question" and a list of "answers".';
      const { image_id, question, answers } = parseRecord(TextVqaRecord, record, layout);
      const picture = firstFile(record, [join(pictureFolder(set, 'train_images'), `${image_id}.jpg`)]);
      return [{ ...record, picture, prompt: question, answer: mostFrequent(answers), split }];
    });
  }
};

function mostFrequent(answers: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const answer of answers) counts.set(answer, (counts.get(answer) ?? 0) + 1);
  return [...counts].reduce((best, next) => (next[1] > best[1] ? next : best))[0];
}
