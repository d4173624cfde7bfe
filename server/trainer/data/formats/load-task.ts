import { createHash } from 'node:crypto';
import { splitOf, splits, type DrawnQuestion, type Split, type Task } from '../task.js';
import type { DataFormatName } from './data-format-names.js';
import { dataFormats } from './data-formats.js';
import { readPicture } from './picture-file.js';
import { DataError } from './record.js';
import { toWords } from './words.js';

/**
 * Loads a data set on disk as a task, with all its pictures decoded, so that broken records are found before the first
 * step. Keeps the data set's own split; without one, one picture in ten is for evaluation. The model's vocabulary is
 * closed: the tokenizer names an unknown word when it encodes the example.
 * @param folder of the data set in its own layout, see docs/data-formats.md
 * @throws Error naming the file, the record, the fault and the remedy
 */
export async function loadTask(
  format: DataFormatName,
  folder: string,
  name: string,
  kind: Task['kind'],
): Promise<Task> {
  const examples: Record<Split, DrawnQuestion[]> = { train: [], evaluation: [] };
  let last: { picture: unknown; image: Uint8Array; content: string } | undefined;
  for await (const questions of dataFormats[format]({ path: folder })) {
    if (questions instanceof DataError) throw questions;
    for (const question of questions) {
      // Questions about one picture are mostly adjacent.
      const { picture, prompt, answer, split } = question;
      if (picture === undefined)
        throw new DataError(question, 'it has no picture', 'The built-in model answers questions about pictures only.');
      if (last?.picture !== picture) {
        const image = await readPicture(question, picture);
        last = { picture, image, content: createHash('sha1').update(image).digest('base64') };
      }
      const { image, content } = last!;
      examples[split ?? splitOf(Buffer.from(image).toString('latin1'))].push({
        ...{ image, content },
        prompt: toWords(prompt),
        answer: toWords(answer),
      });
    }
  }
  for (const split of splits)
    if (examples[split].length === 0)
      throw new Error(`${folder} has no records for ${split === 'train' ? 'training' : 'evaluation'}. Add some.`);
  return {
    name,
    kind,
    chance: blindAccuracy(examples),
    sample: (rng, split) => rng.pick(examples[split]),
  };
}

/** The accuracy without the picture, in percent: each prompt's most frequent answer in the train split. */
function blindAccuracy({ train, evaluation }: Record<Split, DrawnQuestion[]>): number {
  const counts = new Map<string, Map<string, number>>();
  const everyPrompt = '';
  for (const { prompt, answer } of train)
    for (const key of [prompt, everyPrompt]) {
      const answers = counts.get(key) ?? new Map<string, number>();
      counts.set(key, answers.set(answer, (answers.get(answer) ?? 0) + 1));
    }
  const guesses = new Map(
    [...counts].map(([key, answers]) => [key, [...answers].reduce((a, b) => (b[1] > a[1] ? b : a))[0]]),
  );
  const right = evaluation.filter(
    ({ prompt, answer }) => answer === (guesses.get(prompt) ?? guesses.get(everyPrompt)),
  ).length;
  return (right / evaluation.length) * 100;
}
