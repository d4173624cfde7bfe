import { z } from 'zod';
import { maxNameLength } from '../branch-name.js';
import { GuardRules } from '../rule.js';
import { LearningRate } from '../run.js';
import { TrainingMethod } from './method.js';
import { canTrain, recipes } from './recipe.js';
import { backends, defaultSettings, schedules } from './run-settings.js';
import { targetTaskNames } from './tasks.js';

const settings = z.object({
  name: z.string().trim().min(1).max(maxNameLength),
  /** The target skills, taught one after another, each in a stage of its own. */
  tasks: z
    .array(z.enum(targetTaskNames))
    .min(1, 'a run teaches at least one task')
    .max(20)
    .default(defaultSettings.tasks),
  recipe: z.enum(recipes).default(defaultSettings.recipe),
  method: TrainingMethod.default(defaultSettings.method),
  learningRate: LearningRate.default(defaultSettings.learningRate),
  /** Optimizer steps of each stage; they are counted on from the base model, in a branch too. */
  steps: z.number().int().min(1).max(1_000_000).default(defaultSettings.steps),
  warmupSteps: z.number().int().min(0).max(100_000).default(defaultSettings.warmupSteps),
  schedule: z.enum(schedules).default(defaultSettings.schedule),
  batchSize: z.number().int().min(1).max(1024).default(defaultSettings.batchSize),
  seed: z.number().int().min(0).max(0xffffffff).default(defaultSettings.seed),
  weightDecay: z.number().min(0).max(1).default(defaultSettings.weightDecay),
  /** Gradients are scaled down to this global L2 norm. */
  maxGradientNorm: z.number().positive().default(defaultSettings.maxGradientNorm),
  probeEverySteps: z.number().int().min(1).max(100_000).default(defaultSettings.probeEverySteps),
  checkpointEverySteps: z.number().int().min(1).max(100_000).default(defaultSettings.checkpointEverySteps),
  /** Steps at which a checkpoint is saved and kept beside the automatic ones. */
  keepCheckpointsAt: z.array(z.number().int().min(1)).max(100).default(defaultSettings.keepCheckpointsAt),
  /**
   * Questions a task, target and held-out, whose answers are kept one by one before training and at the end of each
   * stage (`evaluation_completed`): what confidence intervals are made from. 0 asks none.
   */
  evaluationQuestions: z.number().int().min(0).max(2000).default(defaultSettings.evaluationQuestions),
  /** Which questions these are. Runs that are compared have the same; what was tuned on one is reported on another. */
  evaluationSeed: z.number().int().min(0).max(0xffffffff).default(defaultSettings.evaluationSeed),
  backend: z.enum(backends).default(defaultSettings.backend),
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
