import { textOf } from '../../text/message.js';
import { builtInTokenizer } from '../vocabulary.js';
import type { DataFormat, Question } from './data-format.js';
import { pictureKey, readPicture } from './picture-file.js';
import type { DataSet } from './data-set.js';
import { DataError } from './record.js';
import { toWords } from './words.js';

/** Counts of words, most frequent first. */
export type WordCounts = { word: string; count: number }[];

/** A summary of a data set. */
export interface Survey {
  /** The number of records, including broken ones. */
  records: number;
  /** The number of broken records. */
  broken: number;
  /** The faults of the first broken records. */
  faults: DataError[];
  /** The number of different pictures, without those of broken records. */
  pictures: number;
  /** Questions by split, a conversation of text counting as one; `undivided` if the data set has no part for evaluation. */
  questions: { train: number; evaluation: number; undivided: number };
  /** The words of the answers. */
  answerWords: WordCounts;
  /** Words of questions and answers: the number of different words, and of all occurrences. */
  words: { different: number; differentKnown: number; all: number; allKnown: number };
  /** Words that the built-in vocabulary lacks. */
  unknownWords: WordCounts;
}

/**
 * Reads a whole data set and decodes every picture.
 * @param mostFaults the most faults to keep
 * @param onRecord receives the questions of each record that is not broken
 * @throws Error with the remedy when a file is missing or cannot be read at all, or when there is no record
 */
export async function surveyDataSet(
  format: DataFormat,
  set: DataSet,
  mostFaults: number,
  onRecord: (questions: readonly Question[]) => Promise<void> | void = () => {},
): Promise<Survey> {
  const survey = {
    records: 0,
    broken: 0,
    faults: [] as DataError[],
    questions: { train: 0, evaluation: 0, undivided: 0 },
  };
  const pictures = new Set<string>();
  const [inAnswers, inAll] = [new Map<string, number>(), new Map<string, number>()];
  for await (const read of format(set)) {
    survey.records++;
    const fault = read instanceof DataError ? read : await brokenPicture(read, pictures);
    if (fault) {
      survey.broken++;
      if (survey.faults.length < mostFaults) survey.faults.push(fault);
      continue;
    }
    const questions = read as Question[];
    for (const { before = [], prompt, answer, split } of questions) {
      survey.questions[split ?? 'undivided']++;
      for (const message of before)
        countWords(textOf(message), ...(message.role === 'assistant' ? [inAnswers, inAll] : [inAll]));
      countWords(answer, inAnswers, inAll);
      countWords(prompt, inAll);
    }
    await onRecord(questions);
  }
  if (survey.records === 0) throw new Error(`There is no record in ${set.path}.`);
  const vocabulary = new Set(builtInTokenizer().words);
  const all = sorted(inAll);
  const known = all.filter(({ word }) => vocabulary.has(word));
  const sum = (counts: WordCounts): number => counts.reduce((total, { count }) => total + count, 0);
  return {
    ...survey,
    pictures: pictures.size,
    answerWords: sorted(inAnswers),
    words: { different: all.length, differentKnown: known.length, all: sum(all), allKnown: sum(known) },
    unknownWords: all.filter(({ word }) => !vocabulary.has(word)),
  };
}

/** Decodes a record's new pictures and marks them as seen if none is broken. */
async function brokenPicture(questions: readonly Question[], seen: Set<string>): Promise<DataError | null> {
  const keys = new Set<string>();
  for (const question of questions) {
    const { picture } = question;
    if (picture === undefined) continue;
    const key = pictureKey(picture);
    if (seen.has(key) || keys.has(key)) continue;
    try {
      await readPicture(question, picture);
    } catch (error) {
      if (error instanceof DataError) return error;
      throw error;
    }
    keys.add(key);
  }
  for (const key of keys) seen.add(key);
  return null;
}

function countWords(text: string, ...counts: Map<string, number>[]): void {
  for (const word of toWords(text).split(' ').filter(Boolean))
    for (const of of counts) of.set(word, (of.get(word) ?? 0) + 1);
}

/** Most frequent first, then alphabetical. */
const sorted = (counts: ReadonlyMap<string, number>): WordCounts =>
  [...counts].map(([word, count]) => ({ word, count })).sort((a, b) => b.count - a.count || (a.word < b.word ? -1 : 1));
