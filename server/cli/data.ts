import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { Question } from '../trainer/data/formats/data-format.js';
import { dataFormatNames, type DataFormatName } from '../trainer/data/formats/data-format-names.js';
import type { Survey, WordCounts } from '../trainer/data/formats/survey.js';
import { UsageError } from '../usage-error.js';
import { wholeNumber } from './whole-number.js';

interface Flags {
  images?: string;
  toLlava?: string;
  limit: number;
  json?: true;
}
type Say = (line: string) => void;

/** Number of most frequent words to print. */
const mostWords = 10;

/** `plumbline data FORMAT PATH`: summarises and checks a data set on disk; see docs/data-formats.md. */
export function addDataCommand(program: Command, say: Say): void {
  program
    .command('data')
    .description('check a data set on disk record by record and summarise it; exit code 1 if a record is broken')
    .argument('<format>', `its layout: ${dataFormatNames.join(', ')}`)
    .argument('<path>', 'its folder, or one file of records')
    .option('--images <folder>', 'folder of the pictures, if not the one of the layout')
    .option('--to-llava <file>', 'write the intact records as conversations in LLaVA’s JSON')
    .option('--limit <number>', 'broken records to list one by one', wholeNumber(0), 20)
    .option('--json', 'one line for programs')
    .action((format: string, path: string, flags: Flags) => dataAction(format, path, flags, say));
}

async function dataAction(format: string, path: string, flags: Flags, say: Say): Promise<void> {
  // Loaded lazily: other commands need neither pictures nor tables.
  const [{ dataFormats }, { folderOf }, { surveyDataSet }, { LlavaFile }] = await Promise.all([
    import('../trainer/data/formats/data-formats.js'),
    import('../trainer/data/formats/data-set.js'),
    import('../trainer/data/formats/survey.js'),
    import('../trainer/data/formats/llava-file.js'),
  ]);
  if (!Object.hasOwn(dataFormats, format))
    throw new UsageError(`There is no format "${format}"; there are ${dataFormatNames.join(', ')}.`);
  const set = { path: resolve(path), images: flags.images && resolve(flags.images) };
  const survey = async (onRecord?: (questions: readonly Question[]) => Promise<void>): Promise<Survey> =>
    surveyDataSet(dataFormats[format as DataFormatName], set, flags.limit, onRecord);
  if (flags.toLlava === undefined) return tell(format, await survey(), null, flags, say);
  const llava = await LlavaFile.create(resolve(flags.toLlava), folderOf(set));
  try {
    const found = await survey((questions) => llava.add(questions));
    tell(format, found, await llava.close(), flags, say);
  } catch (error) {
    await llava.discard();
    throw error;
  }
}

function tell(format: string, survey: Survey, written: number | null, flags: Flags, say: Say): void {
  if (flags.json) say(JSON.stringify({ format, ...forPrograms(survey), written }));
  else for (const line of [...surveyLines(survey), ...writtenLine(written, flags)]) say(line);
  if (survey.broken > 0) process.exitCode = 1;
}

const writtenLine = (written: number | null, { toLlava }: Flags): string[] =>
  written === null ? [] : [`Wrote ${counted(written, 'record')} to ${toLlava}.`];

const forPrograms = ({ faults, answerWords, unknownWords, ...survey }: Survey): object => ({
  ...survey,
  answerWords: answerWords.slice(0, mostWords),
  unknownWords: unknownWords.slice(0, mostWords),
  faults: faults.map(({ place: { file, record, line }, wrong, todo }) => ({ file, record, line, wrong, todo })),
});

const number = (value: number): string => value.toLocaleString('en-US');
const counted = (count: number, what: string): string => `${number(count)} ${what}${count === 1 ? '' : 's'}`;
const share = (part: number, whole: number): string => `${whole === 0 ? 0 : ((100 * part) / whole).toFixed(0)} %`;
const wordList = (counts: WordCounts): string =>
  counts
    .slice(0, mostWords)
    .map(({ word, count }) => `${word} ×${number(count)}`)
    .join(', ') || 'none';

function surveyLines(survey: Survey): string[] {
  const { records, broken, faults, pictures, questions, answerWords, words, unknownWords } = survey;
  const splitNames = { train: 'to train', evaluation: 'to evaluate', undivided: 'not divided' };
  const bySplit = (['train', 'evaluation', 'undivided'] as const)
    .filter((split) => questions[split] > 0)
    .map((split) => `${number(questions[split])} ${splitNames[split]}`);
  const lines = [
    `${counted(records, 'record')}, ${broken === 0 ? 'none' : number(broken)} broken`,
    counted(pictures, 'picture'),
    `${counted(questions.train + questions.evaluation + questions.undivided, 'question')}${bySplit.length === 0 ? '' : `: ${bySplit.join(', ')}`}`,
    `words of answers, most frequent first: ${wordList(answerWords)}`,
    `words that the built-in vocabulary knows: ${number(words.differentKnown)} of ${number(words.different)} different ones ` +
      `(${share(words.differentKnown, words.different)}), ${share(words.allKnown, words.all)} of all as they stand there`,
  ];
  if (unknownWords.length > 0)
    lines.push(`words that it does not know, most frequent first: ${wordList(unknownWords)}`);
  lines.push(...faults.map(({ message }) => message));
  if (broken > faults.length) lines.push(`... and ${number(broken - faults.length)} more (--limit)`);
  return lines;
}
