import type { Split } from '../task.js';
import type { PictureSource } from './picture-file.js';
import type { DataSet } from './data-set.js';
import { DataError, type Place } from './record.js';

/** A question as a data set has it. */
export interface Question extends Place {
  picture: PictureSource;
  prompt: string;
  answer: string;
  /** undefined where the data set has no part for evaluation */
  split: Split | undefined;
}

/**
 * Reads a data set record by record: the questions of each, or what is broken about it.
 * @throws Error saying what to do when a file is missing or cannot be read at all
 */
export type DataFormat = (set: DataSet) => AsyncIterable<Question[] | DataError>;

/** What stands for the picture in a conversation: a trainer counts each as a picture. */
export const imageToken = '<image>';

/** @throws DataError when a question cannot be taught or asked, whatever the layout that it comes in */
function refuseUnusable(question: Question): void {
  for (const [what, text] of [
    ['question', question.prompt],
    ['answer', question.answer],
  ] as const) {
    if (text.trim() === '') throw new DataError(question, `it has an empty ${what}`, 'Fill it in, or take it out.');
    if (text.includes(imageToken))
      throw new DataError(
        question,
        `its ${what} holds ${imageToken}, which a trainer takes for a picture`,
        'Write it in another way, or take the record out.',
      );
  }
}

/** The questions of each record; one that is broken comes as its error, and those after it are read all the same. */
export async function* eachRecord<T>(
  records: AsyncIterable<T | DataError>,
  read: (record: T) => Question[],
): AsyncGenerator<Question[] | DataError> {
  for await (const record of records) {
    if (record instanceof DataError) {
      yield record;
      continue;
    }
    let questions: Question[] | DataError;
    try {
      questions = read(record);
      for (const question of questions) refuseUnusable(question);
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      questions = error;
    }
    yield questions;
  }
}
