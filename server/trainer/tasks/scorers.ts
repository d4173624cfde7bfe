import { distance } from 'fastest-levenshtein';
import type { Scorer } from './scorer-names.js';
import { vqaAnswer } from './vqa-answer.js';

/** What is scored. */
export interface Answered {
  /** What the model wrote, without special tokens. */
  written: string;
  /** The right answers: mostly one; for VQA accuracy those of ten people. At least one. */
  references: readonly string[];
  /** The question of the data set, without the prompt's template. */
  question: string;
}

/** Scores one answer: 0 to 1, or null where the scorer does not apply to the question. */
type Score = (answered: Answered) => number | null;

/** Right when it is right for any of the references. */
const anyReference =
  (isRight: (written: string, reference: string) => boolean): Score =>
  ({ written, references }) =>
    references.some((reference) => isRight(written, reference)) ? 1 : 0;

/** Lower case, single spaces, without full stops at the end. */
const plain = (text: string): string => text.toLowerCase().split(/\s+/).filter(Boolean).join(' ').replace(/\.+$/, '');

/**
 * The option letter of an answer: the first letter that stands by itself ("The answer is B."), else the first letter.
 * In lower case. Source: LMM_CL, tasks/cub200/utils.py.
 */
function optionLetter(text: string): string {
  const answer = text.trim().toLowerCase();
  return /\b[a-z]\b/.exec(answer)?.[0] ?? (/^\p{L}/u.test(answer) ? answer[0]! : answer);
}

const numberWords = (
  'zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen ' +
  'eighteen nineteen twenty'
).split(' ');
const firstNumber = new RegExp(`\\d+|\\b(${numberWords.join('|')})\\b`);

/** The first number of a text, in digits or as a word from zero to twenty. */
function integerOf(text: string): number | null {
  const [found] = firstNumber.exec(text.toLowerCase()) ?? [];
  if (found === undefined) return null;
  const word = numberWords.indexOf(found);
  return word >= 0 ? word : Number(found);
}

/** A number as Python's float() reads it, a percentage as its hundredth; null for anything else. */
function floatOf(text: string): number | null {
  const isPercent = text.endsWith('%');
  const digits = isPercent ? text.replace(/%+$/, '') : text;
  if (!/^\s*[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?\s*$/i.test(digits)) return null;
  return Number(digits) / (isPercent ? 100 : 1);
}

function isWithin5Percent(written: string, reference: string): boolean {
  const [answer, right] = [written.trim(), reference.trim()];
  const [found, wanted] = [floatOf(answer), floatOf(right)];
  // A share of 0 is 0, so 0 must be matched as a text.
  if (found === null || wanted === null || wanted === 0) return answer.toLowerCase() === right.toLowerCase();
  return Math.abs(found - wanted) / Math.abs(wanted) <= 0.05;
}

/** 1 less the share of letters to change, or 0 if that is less than a half. */
function similarity(written: string, reference: string): number {
  const [answer, right] = [written, reference].map((text) => text.toLowerCase().split(/\s+/).filter(Boolean).join(' '));
  const length = Math.max(written.length, reference.length);
  const similar = length === 0 ? 1 : 1 - distance(answer!, right!) / length;
  return similar < 0.5 ? 0 : similar;
}

interface Time {
  hour: number;
  minute: number;
}

/** The first "10:08" of a text, else its first two numbers ("10 : 08"). */
function timeOf(text: string): Time | null {
  const [, hour, minute] = /(\d{1,2}):(\d{1,2})/.exec(text) ?? [undefined, ...(text.match(/\d+/g) ?? [])];
  return hour === undefined || minute === undefined ? null : { hour: Number(hour), minute: Number(minute) };
}
const isHour = (found: Time, right: Time): boolean => found.hour === right.hour;
/** Within a minute; 59 and 0 are a minute apart. */
const isMinute = (found: Time, right: Time): boolean => [0, 1, 59].includes(Math.abs(found.minute - right.minute));
const byTime = (isRight: (found: Time, right: Time) => boolean): Score =>
  anyReference((written, reference) => {
    const [found, right] = [timeOf(written), timeOf(reference)];
    return found !== null && right !== null && isRight(found, right);
  });

/** Words of ASCII letters in lower case; other characters but spaces are dropped. */
const lettersOnly = (text: string): string[] =>
  text
    .replace(/[^a-zA-Z ]/g, '')
    .toLowerCase()
    .split(' ')
    .filter(Boolean);

/** How a question begins that is answered by yes or no. */
const yesNoQuestion = /^(is|are|was|were|does|do|did|can|could|would|should|has|have|had|will|shall|am i) /;

/**
 * The scorers by name. LMM_CL is the published code of arXiv 2510.08564, lmms-eval the evaluation that it runs.
 */
export const scorers: Readonly<Record<Scorer, Score>> = {
  /**
   * The same words, whatever their case, spaces and final full stop. Source: lmms-eval, realworldqa.
   */
  exact: anyReference((written, reference) => plain(written) === plain(reference)),

  /** The same option letter. Source: LMM_CL, cub200; also for ai2d, scienceqa_img, seedbench and mmstar. */
  option_letter: anyReference((written, reference) => optionLetter(written) === reference.trim().toLowerCase()),

  /**
   * The same first whole number. Source: LMM_CL, pixmocount. Number words count as whole words here; the published code
   * replaces them within words, and reads "fourteen" as 4 and "none" as 1.
   */
  integer: anyReference((written, reference) => {
    const right = integerOf(reference);
    return right !== null && integerOf(written) === right;
  }),

  /** A number within 5 %, or the same text. Source: lmms-eval, chartqa (relaxed accuracy of Masry et al. 2022). */
  relaxed_5_percent: anyReference(isWithin5Percent),

  /**
   * Average normalised Levenshtein similarity: of the most similar reference, 0 below a half. Source: lmms-eval, docvqa
   * and infovqa, as the challenge's own script (Biten et al. 2019).
   */
  anls: ({ written, references }) => Math.max(...references.map((reference) => similarity(written, reference))),

  /**
   * VQA accuracy: over the people asked, the mean of min(1, others who said so / 3). Source: lmms-eval, textvqa.
   * @throws Error with fewer than four references: the score could not reach 1
   */
  vqa_accuracy({ written, references }) {
    if (references.length < 4)
      throw new Error(
        `VQA accuracy needs the answers of at least four people, and there are ${references.length}. Use the scorer "exact".`,
      );
    const answer = vqaAnswer(written);
    const said = references.map((reference) => (vqaAnswer(reference) === answer ? 1 : 0));
    const total = said.reduce<number>((sum, one) => sum + one, 0);
    const shares = said.map((own) => Math.min(1, (total - own) / 3));
    return shares.reduce((sum, share) => sum + share, 0) / shares.length;
  },

  /**
   * PathVQA's "exact match": distinct words of the reference that occur in the answer, per word of the answer. It is no
   * strict match, and a word twice in the answer lowers it. Source: LMM_CL, pathvqa (He et al. 2020).
   */
  path_vqa_exact_match({ written, references }) {
    const words = lettersOnly(written);
    if (words.length === 0) return 0;
    const matches = references.map(
      (reference) => new Set(lettersOnly(reference).filter((word) => words.includes(word))),
    );
    return Math.max(...matches.map(({ size }) => size)) / words.length;
  },

  /** The same text, for questions that ask for yes or no; null for others. Source: LMM_CL, pathvqa. */
  path_vqa_yes_no({ written, references, question }) {
    if (!yesNoQuestion.test(question.trim().toLowerCase())) return null;
    return references.some((reference) => written.trim().toLowerCase() === reference.trim().toLowerCase()) ? 1 : 0;
  },

  /** The hour exactly and the minute within one. Source: LMM_CL, timeclock (Yang et al. 2022). */
  clock: byTime((found, right) => isHour(found, right) && isMinute(found, right)),
  clock_hour: byTime(isHour),
  clock_minute: byTime(isMinute),
};
