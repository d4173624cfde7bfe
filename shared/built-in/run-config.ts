import { z } from 'zod';
import { maxNameLength } from '../branch-name.js';
import { GuardRules } from '../rule.js';
import { LearningRate } from '../run.js';
import type { RunDescription } from '../run-description.js';
import { TrainingMethod } from './method.js';
import { canTrain, Recipe, recipes } from './recipe.js';
import { heldOutLabels, targetLabels, targetTaskNames, type TargetTask } from './tasks.js';

export const backends = ['auto', 'tensorflow-gpu', 'webgpu', 'tensorflow', 'wasm'] as const;

const settings = z.object({
  name: z.string().trim().min(1).max(maxNameLength),
  /** The target skills, taught one after another, each in a stage of its own. */
  tasks: z.array(z.enum(targetTaskNames)).min(1, 'a run teaches at least one task').max(20).default(['counting']),
  recipe: Recipe.default('full'),
  method: TrainingMethod.default({ kind: 'fine_tuning' }),
  learningRate: LearningRate.default(1e-3),
  /** Optimizer steps of each stage; they are counted on from the base model, in a branch too. */
  steps: z.number().int().min(1).max(1_000_000).default(400),
  warmupSteps: z.number().int().min(0).max(100_000).default(20),
  schedule: z.enum(['constant', 'cosine']).default('cosine'),
  batchSize: z.number().int().min(1).max(1024).default(32),
  seed: z.number().int().min(0).max(0xffffffff).default(1),
  weightDecay: z.number().min(0).max(1).default(0.01),
  /** Gradients are scaled down to this global L2 norm. */
  maxGradientNorm: z.number().positive().default(1),
  probeEverySteps: z.number().int().min(1).max(100_000).default(40),
  checkpointEverySteps: z.number().int().min(1).max(100_000).default(100),
  /** Steps at which a checkpoint is saved and kept beside the automatic ones. */
  keepCheckpointsAt: z.array(z.number().int().min(1)).max(100).default([]),
  /**
   * Questions a task, target and held-out, whose answers are kept one by one before training and at the end of each
   * stage (`evaluation_completed`): what confidence intervals are made from. 0 asks none.
   */
  evaluationQuestions: z.number().int().min(0).max(2000).default(0),
  /** Which questions these are. Runs that are compared have the same; what was tuned on one is reported on another. */
  evaluationSeed: z.number().int().min(0).max(0xffffffff).default(1),
  backend: z.enum(backends).default('auto'),
  /** The guard rules at the start; `set_rules` may replace them in mid-run. */
  rules: GuardRules.default([]),
});

/**
 * What a run computes. Two runs with equal configuration on one backend repeat exactly as long as nobody steers them:
 * commands, of people and of rules, take effect at the step at which they happen to arrive.
 */
export const RunConfig = settings.superRefine(({ method, recipe, evaluationQuestions, rules }, context) => {
  const refuse = (key: keyof z.infer<typeof settings>, message: string): void =>
    context.addIssue({ code: 'custom', path: [key], message });
  if (!canTrain(method, recipe))
    refuse('recipe', `The recipe ${recipe} hits nothing that ${method.kind} trains: choose another recipe or method.`);
  if (method.kind === 'wise_ft' && evaluationQuestions === 0)
    refuse('evaluationQuestions', 'WiSE-FT evaluates at the end of each stage: give it at least 1 question a task.');
  for (const [index, { actions }] of rules.entries())
    for (const [at, action] of actions.entries()) {
      if (action.kind !== 'set_trainable' || action.selection.kind !== 'recipe') continue;
      const asked = action.selection.recipe;
      if ((recipes as readonly string[]).includes(asked)) continue;
      context.addIssue({
        code: 'custom',
        path: ['rules', index, 'actions', at, 'selection', 'recipe'],
        message: `there is no recipe "${asked}": choose one of ${recipes.join(', ')}`,
      });
    }
});
export type RunConfig = z.infer<typeof RunConfig>;

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

/**
 * The configuration of a run of the built-in trainer, from its description; null for a run of another trainer. The
 * built-in trainer says all of its settings: where one is missing, another trainer happens to use the same words.
 */
export function builtInConfig({
  name,
  settings,
  rules,
}: Pick<RunDescription, 'name' | 'settings' | 'rules'>): RunConfig | null {
  const parsed = RunConfig.safeParse({ ...settings, name: name.slice(0, maxNameLength), rules });
  if (!parsed.success) return null;
  const { name: _name, rules: _rules, ...all } = parsed.data;
  return Object.keys(all).every((key) => Object.hasOwn(settings, key)) ? parsed.data : null;
}
