import type { CommandRecord } from '@plumbline/shared/command';
import { describeMethod } from '@plumbline/shared/built-in/method-words';
import type { RunConfig } from '@plumbline/shared/built-in/run-config';
import { defaultSettings } from '@plumbline/shared/built-in/run-settings';
import { formatLearningRate, formatStep, formatValue } from '../charts/format';
import { beginningOf, peakLearningRate, selectionAfter, type Beginning } from './changes';
import type { RunStore } from './run-store';
import { selectionWords } from './words';

/** Settings that are shown only if they differ from the default, in display order. */
const words: { [K in keyof typeof defaultSettings]?: (value: RunConfig[K]) => string } = {
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

/**
 * The settings of a configuration that differ from the default, in words. Pages always show name, task, recipe, rate, seed
 * and steps.
 */
export function chosenSettings(
  config: RunConfig,
  only = Object.keys(words) as (keyof typeof defaultSettings)[],
): string[] {
  return only.flatMap((key) => {
    const say = words[key] as ((value: RunConfig[typeof key]) => string) | undefined;
    return say && JSON.stringify(config[key]) !== JSON.stringify(defaultSettings[key]) ? [say(config[key])] : [];
  });
}

/** A setting in words, and its first value; empty if it is unchanged. */
export interface Setting {
  now: string;
  began: string;
}
/** Both in one line: `SA Proj (began with Full)`. */
export const settingWords = ({ now, began }: Setting): string => (began ? `${now} (${began})` : now);

/**
 * What a run trains and its peak learning rate, in the same words on every page, with the first values if they have
 * changed. Null if unknown.
 * @param began as its trainer sent it
 * @param takenOver changes from before a branch that are in force in it
 * @param own changes since
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

/** The same for a followed run. If its settings do not name the selection, its start event does. */
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
