import { maxNameLength } from '../branch-name.js';
import type { RunDescription } from '../run-description.js';
import type { TrainingMethod } from './method.js';
import { recipes } from './recipe.js';
import type { RunConfig } from './run-config.js';
import { backends, maxExperts, schedules } from './run-settings.js';
import { heldOutLabels, targetLabels, targetTaskNames, type TargetTask } from './tasks.js';

/** Optimizer steps of all stages. */
export const totalSteps = ({ tasks, steps }: Pick<RunConfig, 'tasks' | 'steps'>): number => tasks.length * steps;

/** The target skills of a run, each once, in the order in which they are first taught. */
const distinctTasks = ({ tasks }: Pick<RunConfig, 'tasks'>): TargetTask[] => [...new Set(tasks)];

/** A run of the built-in trainer, as it describes itself to the hub. */
export function describeRun(config: RunConfig): RunDescription {
  const { name, rules, ...settings } = config;
  return {
    ...{ name, settings, tags: [], notes: '' },
    tasks: [
      ...distinctTasks(config).map((task) => ({ name: task, label: targetLabels[task], kind: 'target' as const })),
      ...Object.entries(heldOutLabels).map(([task, label]) => ({ name: task, label, kind: 'held_out' as const })),
    ],
    stages: config.tasks.map((task) => ({ task, steps: config.steps })),
    totalSteps: totalSteps(config),
    probeEverySteps: config.probeEverySteps,
    rules,
  };
}

type Check = (value: unknown) => boolean;
const isNumber: Check = (value) => typeof value === 'number';
const isNumbers: Check = (value) => Array.isArray(value) && value.every(isNumber);
const isOneOf =
  (words: readonly string[]): Check =>
  (value) =>
    typeof value === 'string' && words.includes(value);
const isTask = isOneOf(targetTaskNames);

type Method<K extends TrainingMethod['kind']> = Extract<TrainingMethod, { kind: K }>;
/** The parameters of each method. */
const methodChecks: {
  [K in TrainingMethod['kind']]: { [P in Exclude<keyof Method<K>, 'kind'>]: Check };
} = {
  fine_tuning: {},
  lora: { rank: isNumber, alpha: isNumber },
  lwf: { weight: isNumber, temperature: isNumber },
  wise_ft: { weights: isNumbers },
  // Pages list the series of each expert.
  mixture_of_experts: { experts: (value) => isNumber(value) && (value as number) <= maxExperts },
};

/** Each setting of the built-in trainer, by the kind of its value. */
const settingChecks: { [K in Exclude<keyof RunConfig, 'name' | 'rules'>]: Check } = {
  tasks: (value) => Array.isArray(value) && value.length > 0 && value.every(isTask),
  recipe: isOneOf(recipes),
  method: (value) => {
    if (typeof value !== 'object' || value === null || !('kind' in value)) return false;
    const { kind } = value;
    return isOneOf(Object.keys(methodChecks))(kind) && hasAll(methodChecks[kind as TrainingMethod['kind']], value);
  },
  learningRate: isNumber,
  steps: isNumber,
  warmupSteps: isNumber,
  schedule: isOneOf(schedules),
  batchSize: isNumber,
  seed: isNumber,
  weightDecay: isNumber,
  maxGradientNorm: isNumber,
  probeEverySteps: isNumber,
  checkpointEverySteps: isNumber,
  keepCheckpointsAt: isNumbers,
  evaluationQuestions: isNumber,
  evaluationSeed: isNumber,
  backend: isOneOf(backends),
};

const hasAll = (checks: Readonly<Record<string, Check>>, value: object): boolean =>
  Object.entries(checks).every(
    ([name, check]) => Object.hasOwn(value, name) && check((value as Record<string, unknown>)[name]),
  );

/**
 * The configuration of a run of the built-in trainer, from its description; null for a run of another trainer. The
 * built-in trainer says all of its settings: where one is missing or of another kind, another trainer happens to use the
 * same words. Pages call this for every row and chart, so it recognizes settings and checks only bounds that pages rely on;
 * whoever starts a run from them checks all (`RunConfig`).
 */
export function builtInConfig({
  name,
  settings,
  rules,
}: Pick<RunDescription, 'name' | 'settings' | 'rules'>): RunConfig | null {
  if (!hasAll(settingChecks, settings)) return null;
  const known = Object.keys(settingChecks).map((key) => [key, settings[key]]);
  return { ...Object.fromEntries(known), name: name.slice(0, maxNameLength), rules } as RunConfig;
}
