import type { Split } from '../task.js';
import type { PictureSource } from './picture-file.js';
import { DataError, type DataSet, type Place } from './record-file.js';

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
    } catch (error) {
      if (!(error instanceof DataError)) throw error;
      questions = error;
    }
    yield questions;
  }
}
