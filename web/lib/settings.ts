import { describeMethod } from '@plumbline/shared/method';
import { RunConfig } from '@plumbline/shared/run';
import { formatStep, formatValue } from '../charts/format';

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
