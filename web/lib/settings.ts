import type { CommandRecord } from '@plumbline/shared/command';
import { describeMethod } from '@plumbline/shared/method';
import { RunConfig } from '@plumbline/shared/run';
import { formatLearningRate, formatStep, formatValue } from '../charts/format';
import { peakLearningRate, selectionAfter } from './changes';
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
 * changed since.
 * @param takenOver what a branch goes on under of what was changed before it began
 * @param own what was changed since
 */
export function trainingWords(
  config: RunConfig,
  takenOver: readonly CommandRecord[],
  own: readonly CommandRecord[],
): { trains: Setting; rate: Setting } {
  const [began, now] = [takenOver, [...takenOver, ...own]].map((changes) => ({
    trains: selectionWords(selectionAfter(config, changes)),
    rate: formatLearningRate(peakLearningRate(config, changes)),
  }));
  const setting = (first: string, last: string): Setting => ({
    now: last,
    began: first === last ? '' : `began with ${first}`,
  });
  return { trains: setting(began!.trains, now!.trains), rate: setting(began!.rate, now!.rate) };
}
