import { Rng } from '@plumbline/shared/rng';
import { accuraciesOf, type Answers, type SequenceAccuracies, type SequenceRun } from './sequence-measures.js';

/*
 * Bootstrap confidence intervals of the measures of a sequence (percentile method, Efron & Tibshirani 1993, ch. 13),
 * over seeds and over questions.
 *
 * All runs ask the same questions, so seeds and questions are crossed, and each replicate resamples both: one draw of seeds,
 * and one draw of the questions of each task for the base model, every stage and every seed (pigeonhole bootstrap, Owen
 * 2007). Separate draws of questions per seed would treat the effect of a hard question on all seeds as if it averaged out.
 * Questions of the same content, such as the same word in another picture, are right or wrong together. So contents are
 * drawn, each with all of its questions (cluster bootstrap: Davison & Hinkley 1997, section 3.8, strategy 1; Field & Welsh
 * 2007). A task's accuracy is that of all drawn questions, which may be more or fewer than were asked.
 *
 * Of n seeds, n - 1 are drawn: n draws would give a variance of (n - 1) / n of the right one, which matters with few seeds
 * (Rao & Wu 1988). If two or three seeds differ by more than resampled contents explain, intervals are still too narrow: so
 * few seeds say little about the spread of seeds. Of n contents, n are drawn, so a task with few contents makes intervals
 * slightly narrow, by the factor sqrt((n - 1) / n): 2 % with 27 words.
 */

export interface Interval {
  /** Mean over the seeds, on all questions as they were asked. */
  estimate: number;
  low: number;
  high: number;
  /** Share of such intervals that contain the true value, 0..1. */
  level: number;
  seeds: number;
  /** With one seed only its questions are resampled: the interval then says nothing about other seeds. */
  resampled: 'seeds and questions' | 'questions';
}

/** Computes measures of one run from its accuracies, e.g. `finalMeasures`; null where a measure is undefined. */
export type Statistic<Name extends string> = (run: SequenceAccuracies) => Record<Name, number | null>;

/** Contents of questions: task -> one word per question, in the order of asking. */
export type Contents = Readonly<Record<string, readonly string[]>>;

export interface BootstrapOptions {
  /** Questions with the same content are drawn together; for tasks that are missing here, each question separately. */
  contents?: Contents;
  replicates?: number;
  level?: number;
  /** Seed of the resampling: the same seed gives the same interval. */
  seed?: number;
}

export interface DifferenceOptions extends BootstrapOptions {
  /** Share of `b` that is subtracted (1). A smaller share tests whether `a` reaches that much of `b`. */
  share?: number;
}

/**
 * Interval of each measure of a recipe, averaged over its runs; null where the measure is undefined.
 * @param runs one per seed, all with the same stages and questions
 * @throws Error when there is no run, a seed occurs twice, the runs differ in stages or questions, or the number of contents
 *   differs from that of questions
 */
export function bootstrapIntervals<Name extends string>(
  runs: readonly SequenceRun[],
  statistic: Statistic<Name>,
  options: BootstrapOptions = {},
): Record<Name, Interval | null> {
  return intervals([runs], ([of]) => of!, statistic, options);
}

/**
 * Interval of the difference a - b (or a - share b) of each measure between two recipes. Each replicate uses the same seeds
 * and questions for both, so common effects of a seed or a question cancel.
 * @throws Error when the two do not have the same seeds and questions
 */
export function bootstrapDifferences<Name extends string>(
  a: readonly SequenceRun[],
  b: readonly SequenceRun[],
  statistic: Statistic<Name>,
  { share = 1, ...options }: DifferenceOptions = {},
): Record<Name, Interval | null> {
  const seeds = (runs: readonly SequenceRun[]): string =>
    sortedBySeed(runs)
      .map(({ seed }) => seed)
      .join(', ');
  if (seeds(a) !== seeds(b))
    throw new Error(`A paired difference needs the same seeds on both sides; they have ${seeds(a)} and ${seeds(b)}.`);
  return intervals([a, b], ([of, against]) => of! - share * against!, statistic, options);
}

function intervals<Name extends string>(
  recipes: readonly (readonly SequenceRun[])[],
  combine: (means: readonly number[]) => number,
  statistic: Statistic<Name>,
  { contents = {}, replicates = 2000, level = 0.95, seed = 1 }: BootstrapOptions,
): Record<Name, Interval | null> {
  const sorted = recipes.map(sortedBySeed);
  const clusters = new Map(
    [...questionsOf(sorted.flat())].map(([task, length]) => [task, clustersOf(task, length, contents[task])]),
  );
  const seeds = sorted[0]!.length;
  const rng = new Rng(seed);

  const estimates = sorted.map((runs) => runs.map((run) => statistic(accuraciesOf(run))));
  const names = Object.keys(estimates[0]![0]!) as Name[];
  /** The combined mean over the drawn seeds; null where a run lacks it. */
  const combined = (measures: readonly (readonly Record<Name, number | null>[])[], name: Name): number | null => {
    const values = measures.map((of) => of.map((each) => each[name]));
    if (values.some((of) => of.includes(null))) return null;
    return combine((values as number[][]).map((of) => of.reduce((sum, value) => sum + value, 0) / of.length));
  };

  const samples = new Map<Name, number[]>(names.map((name) => [name, []]));
  for (let replicate = 0; replicate < replicates; replicate++) {
    const drawn = seeds === 1 ? [0] : Array.from({ length: seeds - 1 }, () => rng.integer(seeds));
    const counts = new Map([...clusters].map(([task, of]) => [task, drawCounts(rng, of)]));
    const measures = sorted.map((runs) => {
      const ofRun = new Map([...new Set(drawn)].map((index) => [index, statistic(resampled(runs[index]!, counts))]));
      return drawn.map((index) => ofRun.get(index)!);
    });
    for (const name of names) {
      const value = combined(measures, name);
      if (value !== null) samples.get(name)!.push(value);
    }
  }

  const interval = (name: Name): Interval | null => {
    const estimate = combined(estimates, name);
    if (estimate === null) return null;
    const values = samples.get(name)!.sort((x, y) => x - y);
    const [low, high] = [(1 - level) / 2, (1 + level) / 2].map((share) => quantile(values, share)) as [number, number];
    return { estimate, low, high, level, seeds, resampled: seeds === 1 ? 'questions' : 'seeds and questions' };
  };
  return Object.fromEntries(names.map((name) => [name, interval(name)])) as Record<Name, Interval | null>;
}

function sortedBySeed(runs: readonly SequenceRun[]): SequenceRun[] {
  const sorted = runs.toSorted((x, y) => x.seed - y.seed);
  const twice = sorted.find(({ seed }, index) => seed === sorted[index + 1]?.seed);
  if (twice) throw new Error(`Seed ${twice.seed} is there twice.`);
  return sorted;
}

/** Number of questions per task. @throws Error when the runs cannot be compared question by question */
function questionsOf(runs: readonly SequenceRun[]): Map<string, number> {
  const [first] = runs;
  if (!first) throw new Error('There is no run to resample.');
  const questions = new Map(Object.entries(first.base).map(([task, right]) => [task, right.length]));
  for (const run of runs) {
    if (run.stages.join() !== first.stages.join() || run.afterStage.length !== first.afterStage.length)
      throw new Error(
        `Seed ${run.seed} completed ${run.afterStage.length} of the stages ${run.stages.join(', ')}; ` +
          `seed ${first.seed} ${first.afterStage.length} of ${first.stages.join(', ')}.`,
      );
    for (const answers of [run.base, ...run.afterStage])
      for (const [task, { length }] of Object.entries(answers))
        if (questions.get(task) !== length)
          throw new Error(`Seed ${run.seed} asked ${length} questions of ${task}; others ${questions.get(task) ?? 0}.`);
  }
  return questions;
}

/** The clusters of a task's questions, which are drawn together. */
interface Clusters {
  count: number;
  /** The cluster of each question, 0..count - 1. */
  of: Uint16Array;
}

function clustersOf(task: string, questions: number, contents: readonly string[] | undefined): Clusters {
  if (!contents) return { count: questions, of: Uint16Array.from({ length: questions }, (_, index) => index) };
  if (contents.length !== questions)
    throw new Error(`${task} was asked ${questions} questions; contents are given of ${contents.length}.`);
  const different = new Map([...new Set(contents)].map((content, index) => [content, index]));
  return { count: different.size, of: Uint16Array.from(contents, (content) => different.get(content)!) };
}

/** Draws as many clusters as there are. @returns how often each question was drawn */
function drawCounts(rng: Rng, { count, of }: Clusters): Uint16Array {
  const drawn = new Uint16Array(count);
  for (let draw = 0; draw < count; draw++) drawn[rng.integer(count)]!++;
  return of.map((cluster) => drawn[cluster]!);
}

/** Accuracies on the drawn questions, in percent. */
function resampled(run: SequenceRun, counts: ReadonlyMap<string, Uint16Array>): SequenceAccuracies {
  const percent = (answers: Answers): Record<string, number> => {
    const accuracies: Record<string, number> = {};
    for (const task in answers) {
      const right = answers[task]!;
      const count = counts.get(task)!;
      let [sum, drawn] = [0, 0];
      for (let i = 0; i < count.length; i++) {
        drawn += count[i]!;
        if (right.charCodeAt(i) === 49) sum += count[i]!;
      }
      accuracies[task] = (100 * sum) / drawn;
    }
    return accuracies;
  };
  return { ...run, base: percent(run.base), afterStage: run.afterStage.map(percent) };
}

/** Quantile, linear between order statistics. @param sorted ascending, at least one value @param share 0..1 */
export function quantile(sorted: readonly number[], share: number): number {
  const at = share * (sorted.length - 1);
  const below = Math.floor(at);
  const [low, high] = [sorted[below]!, sorted[Math.min(below + 1, sorted.length - 1)]!];
  return low + (at - below) * (high - low);
}
