import { textOf, type Message } from '../../text/message.js';
import type { Split } from '../task.js';
import type { PictureSource } from './picture-file.js';
import type { DataSet } from './data-set.js';
import { DataError, type Place } from './record.js';

/** A question of a data set. */
export interface Question extends Place {
  /** undefined for a question of text only */
  picture: PictureSource | undefined;
  /** What comes before the question in a conversation: a system message, earlier questions and their answers. */
  before?: readonly Message[];
  prompt: string;
  answer: string;
  /** All right answers where the data set has several, e.g. those of ten people; `answer` is the one that is taught. */
  answers?: readonly string[];
  /** undefined if the data set has no part for evaluation */
  split: Split | undefined;
}

/**
 * Reads a data set record by record: the questions of each record, or its error.
 * @throws Error saying what to do when a file is missing or cannot be read at all
 */
export type DataFormat = (set: DataSet) => AsyncIterable<Question[] | DataError>;

/** The placeholder of the picture in a conversation: a trainer counts each as a picture. */
export const imageToken = '<image>';

/** Checks that a question can be taught and asked, in any layout. @throws DataError when it cannot */
function refuseUnusable(question: Question): void {
  const before = (question.before ?? []).map(
    (message) => [message.role === 'system' ? 'system message' : 'earlier message', textOf(message)] as const,
  );
  for (const [what, text] of [
    ...before,
    ['question', question.prompt] as const,
    ['answer', question.answer] as const,
  ]) {
    if (text.trim() === '')
      throw new DataError(question, `it has an empty ${what}`, 'Fill it in, or remove the record.');
    if (text.includes(imageToken))
      throw new DataError(
        question,
        `its ${what} holds ${imageToken}, which a trainer takes for a picture`,
        'Write it in another way, or remove the record.',
      );
  }
}

/** The questions of each record. A broken record yields its error, and reading continues. */
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
