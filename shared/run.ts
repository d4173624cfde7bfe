import { z } from 'zod';
import { Recipe } from './parameter.js';
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

export const runStates = ['created', 'running', 'paused', 'finished', 'stopped', 'failed'] as const;
export const RunState = z.enum(runStates);
export type RunState = z.infer<typeof RunState>;
export const endedStates: readonly RunState[] = ['finished', 'stopped', 'failed'];
export const hasEnded = (state: RunState): boolean => endedStates.includes(state);

export const targetTasks = ['counting', 'clock'] as const;
export const backends = ['auto', 'tensorflow-gpu', 'webgpu', 'tensorflow', 'wasm'] as const;

export const learningRateLimit = 1;
export const LearningRate = z
  .number('a learning rate is a number')
  .positive('a learning rate is above 0')
  .max(learningRateLimit, `a learning rate above ${learningRateLimit} destroys any model`);

/** Everything that decides what a run computes; two runs with equal configuration on one backend repeat exactly. */
export const RunConfig = z.object({
  name: z.string().trim().min(1).max(80),
  task: z.enum(targetTasks).default('counting'),
  recipe: Recipe.default('full'),
  learningRate: LearningRate.default(1e-3),
  /** Optimizer steps in all, counted from the base model (a branch goes on counting). */
  steps: z.number().int().min(1).max(1_000_000).default(400),
  warmupSteps: z.number().int().min(0).max(100_000).default(20),
  schedule: z.enum(['constant', 'cosine']).default('cosine'),
  batchSize: z.number().int().min(1).max(1024).default(32),
  seed: z.number().int().min(0).max(0xffffffff).default(1),
  weightDecay: z.number().min(0).max(1).default(0.01),
  /** Gradients are scaled down to this global L2 norm. */
  maxGradientNorm: z.number().positive().default(1),
  probeEverySteps: z.number().int().min(1).max(100_000).default(25),
  checkpointEverySteps: z.number().int().min(1).max(100_000).default(100),
  backend: z.enum(backends).default('auto'),
  /** What the hub watches for and does by itself; a branch has the rules of its run and evaluates them on its own values. */
  rules: GuardRules,
});
export type RunConfig = z.infer<typeof RunConfig>;

/** Where a branch comes from: the checkpoint of another run that it starts at. */
export const RunParent = z.object({ runId: RunId, checkpointId: CheckpointId, step: z.number().int().nonnegative() });
export type RunParent = z.infer<typeof RunParent>;

export const TrainerInfo = z.object({
  /** `tensorflow`, `wasm`, ... for the built-in trainer; any word for another one. */
  backend: z.string().max(80),
  device: z.string().max(200),
  host: z.string().max(200),
  processId: z.number().int().nonnegative(),
  version: z.string().max(80),
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
});
export type RunSummary = z.infer<typeof RunSummary>;
