import type { Split } from '../task.js';
import type { PictureSource } from './picture-file.js';
import type { Place } from './record-file.js';

/** A question as a data set has it. */
export interface Question extends Place {
  picture: PictureSource;
  prompt: string;
  answer: string;
  /** undefined where the data set has no part for evaluation */
  split: Split | undefined;
}

/**
 * Reads the questions of a data set that lies in a folder in its own layout.
 * @throws Error naming the file, the record, what is wrong and what to do
 */
export type DataFormat = (folder: string) => AsyncIterable<Question>;
