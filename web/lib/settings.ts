import type { CommandRecord } from '@plumbline/shared/command';
import { describeMethod } from '@plumbline/shared/built-in/method';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { formatLearningRate, formatStep, formatValue } from '../charts/format';
import { beginningOf, peakLearningRate, selectionAfter, type Beginning } from './changes';
import type { RunStore } from './run-store';
import { selectionWords } from './words';

const defaults = RunConfig.parse({ name: 'default' });

/** Settings that are told only where somebody chose them, in the order they are told. */
const words: { [K in keyof RunConfig]?: (value: RunConfig[K]) => string } = {
  method: describeMethod,
  schedule: (schedule) => `${schedule} schedule`,
  warmupSteps: (steps) => (steps === 0 ? 'no warm-up' : `warm-up ${formatStep(steps)}`),
  weightDecay: (decay) => `weight decay ${decay}`,
  batchSize: (size) => `batch size ${formatStep(size)}`,
  maxGradientNorm: (norm) => `gradient norm up to ${formatValue(norm, '')}`,
  probeEverySteps: (steps) => `probe every ${formatStep(steps)}`,
  checkpointEverySteps: (steps) => `checkpoint every ${formatStep(steps)}`,
  evaluationSeed: (seed) => `evaluation seed ${seed}`,
  backend: (backend) => `backend ${backend}`,
};

/** What of a configuration differs from the default, in words; name, task, recipe, rate, seed and steps are told anyway. */
export function chosenSettings(config: RunConfig, only = Object.keys(words) as (keyof RunConfig)[]): string[] {
  return only.flatMap((key) => {
    const say = words[key] as ((value: RunConfig[typeof key]) => string) | undefined;
    return say && JSON.stringify(config[key]) !== JSON.stringify(defaults[key]) ? [say(config[key])] : [];
  });
}

/** A setting in words, and what it was at first; empty where it still is that. */
export interface Setting {
  now: string;
  began: string;
}
/** Both in one line: `SA Proj (began with Full)`. */
export const settingWords = ({ now, began }: Setting): string => (began ? `${now} (${began})` : now);

/**
 * What a run trains and its peak learning rate, in words, the same on every page; with what it began with where that was
 * changed since. Null is what is not known.
 * @param began as its trainer said it
 * @param takenOver what a branch goes on under of what was changed before it began
 * @param own what was changed since
 */
export function trainingWords(
  began: Beginning,
  takenOver: readonly CommandRecord[],
  own: readonly CommandRecord[],
): { trains: Setting | null; rate: Setting | null } {
  const wordsUnder = (changes: readonly CommandRecord[]): { trains: string | undefined; rate: string | undefined } => {
    const [selection, rate] = [selectionAfter(began, changes), peakLearningRate(began, changes)];
    return {
      trains: selection && selectionWords(selection),
      rate: rate === undefined ? undefined : formatLearningRate(rate),
    };
  };
  const [first, last] = [wordsUnder(takenOver), wordsUnder([...takenOver, ...own])];
  return { trains: setting(first.trains, last.trains), rate: setting(first.rate, last.rate) };
}

function setting(first: string | undefined, last: string | undefined): Setting | null {
  if (last === undefined) return null;
  return { now: last, began: first === undefined || first === last ? '' : `began with ${first}` };
}

/** The same of a run that is followed: what trains has been said with its start where its settings do not tell. */
export function trainingOf(store: RunStore): ReturnType<typeof trainingWords> {
  const { runSummary, past, ownCommands } = store;
  const began = runSummary ? beginningOf(runSummary.description) : {};
  const words = trainingWords(began, past?.inForce ?? [], ownCommands);
  const selection = store.selections.at(-1)?.selection;
  return {
    ...words,
    trains: words.trains ?? (selection ? { now: selectionWords(selection, store.recipes), began: '' } : null),
  };
}
