import { z } from 'zod';
import { EnergyBasis } from './energy.js';
import { canTrain, Recipe, recipes } from './built-in/recipe.js';
import { TrainingMethod } from './method.js';
import { GuardRules } from './rule.js';

/** Lower-case letters, digits, `-` and `_`: safe in a path, a URL, a tag and a room name. */
export const RunId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{2,63}$/, 'a run id is 3 to 64 of a-z 0-9 _ -')
  .brand<'RunId'>();
export type RunId = z.infer<typeof RunId>;
export const CheckpointId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/)
  .brand<'CheckpointId'>();
export type CheckpointId = z.infer<typeof CheckpointId>;
/** How the name of a checkpoint begins that a person or a rule asked for; all others are automatic. */
export const askedCheckpointPrefix = 'saved-';

export const runStates = ['created', 'running', 'paused', 'finished', 'stopped', 'failed'] as const;
export const RunState = z.enum(runStates);
export type RunState = z.infer<typeof RunState>;
export const endedStates: readonly RunState[] = ['finished', 'stopped', 'failed'];
export const hasEnded = (state: RunState): boolean => endedStates.includes(state);

export const targetTaskNames = ['kinds', 'counting', 'tissue', 'reading', 'clock'] as const;
export type TargetTask = (typeof targetTaskNames)[number];
export const backends = ['auto', 'tensorflow-gpu', 'webgpu', 'tensorflow', 'wasm'] as const;

export const learningRateLimit = 1;
export const LearningRate = z
  .number('a learning rate is a number')
  .positive('a learning rate is above 0')
  .max(learningRateLimit, `a learning rate above ${learningRateLimit} destroys any model`);

export const maxNameLength = 80;

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
  /** What the hub watches for and does by itself, to begin with: they may be set anew in mid-run (`set_rules`). */
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
export const distinctTasks = ({ tasks }: Pick<RunConfig, 'tasks'>): TargetTask[] => [...new Set(tasks)];

/** One target skill of a run's sequence: steps in (firstStep, lastStep] train `task`. */
export interface Stage {
  index: number;
  task: TargetTask;
  firstStep: number;
  lastStep: number;
}

/** The stage that a run with so many steps behind it is in. */
export const stageAt = (config: Pick<RunConfig, 'tasks' | 'steps'>, step: number): Stage =>
  stageAfter(config, Math.max(0, step - 1));

/** The stage in which the step after `step` is taken; past the last step, the last stage. */
export function stageAfter({ tasks, steps }: Pick<RunConfig, 'tasks' | 'steps'>, step: number): Stage {
  const index = Math.min(tasks.length - 1, Math.floor(step / steps));
  return { index, task: tasks[index]!, firstStep: index * steps, lastStep: (index + 1) * steps };
}

/** The checkpoint of another run that a run starts at. */
export const StartingPoint = z.object({
  runId: RunId,
  checkpointId: CheckpointId,
  /**
   * As the checkpoint was: what it trained and how fast, whatever people and rules had changed by then, and with each
   * guard rule as it stood there. Without it the new run's configuration says all of it, and its rules are armed.
   */
  goesOn: z.boolean().optional(),
});
export type StartingPoint = z.infer<typeof StartingPoint>;

/** Where a branch comes from. */
export const RunParent = StartingPoint.extend({ step: z.number().int().nonnegative() });
export type RunParent = z.infer<typeof RunParent>;

export const TrainerInfo = z.object({
  /** `tensorflow`, `wasm`, ... for the built-in trainer; any word for another one. */
  backend: z.string().max(80),
  device: z.string().max(200),
  host: z.string().max(200),
  processId: z.number().int().nonnegative(),
  version: z.string().max(80),
  /** Of a trainer that sends the metrics of energy: what they rest on. */
  energy: EnergyBasis.optional(),
});
export type TrainerInfo = z.infer<typeof TrainerInfo>;

export const RunSummary = z.object({
  runId: RunId,
  config: RunConfig,
  parent: RunParent.nullable(),
  state: RunState,
  /** Why the run stands where it stands: a failure's cause, who paused it. Empty while there is nothing to say. */
  reason: z.string(),
  trainer: TrainerInfo.nullable(),
  trainerConnected: z.boolean(),
  createdMs: z.number(),
  startedMs: z.number().nullable(),
  endedMs: z.number().nullable(),
  lastStep: z.number().int().nonnegative(),
  /** Highest event number that is durably stored; 0 before the first. */
  lastSeq: z.number().int().nonnegative(),
  /** What the hub has refused of what the trainer sends, since this hub has had the run; absent where that is nothing. */
  refused: z
    .object({
      count: z.number().int().positive(),
      /** The newest, with what to do. */
      message: z.string(),
      atMs: z.number(),
    })
    .optional(),
  /** Grows with every change: of two summaries of a run, the one with the larger number is later. */
  revision: z.number().optional(),
});
export type RunSummary = z.infer<typeof RunSummary>;
