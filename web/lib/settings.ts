import { describeMethod } from '@plumbline/shared/method';
import { RunConfig } from '@plumbline/shared/run';
import { formatLearningRate, formatStep, formatValue } from '../charts/format';
import { peakLearningRate } from './changes';
import type { RunStore } from './run-store';
import { recipeWords, selectionWords } from './words';

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

/** What a run trains and how fast, in words; with what it began with where that was changed since. */
export function settingsInForce(store: RunStore): string[] {
  const { runSummary: run, selections, past } = store;
  if (!run) return [];
  const trains = [selections[0], selections.at(-1)].map((said) =>
    said ? selectionWords(said.selection) : recipeWords[run.config.recipe].name,
  );
  const rates = [past?.inForce ?? [], store.changesInForce].map(
    (changes) => `lr ${formatLearningRate(peakLearningRate(run.config, changes))}`,
  );
  return [trains, rates].map(([first, now]) =>
    first === now ? now! : `${now} (began with ${first!.replace('lr ', '')})`,
  );
}
