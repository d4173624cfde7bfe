import { z } from 'zod';
import { EnergyBasis } from './energy.js';
import { learningRateFaults } from './learning-rate.js';
import { maxLearningRate, maxLineLength, maxWordLength } from './limits.js';
import { RunDescription } from './run-description.js';
import { runIdPattern, runStates } from './run-state.js';

export * from './run-state.js';

/** Lower-case letters, digits, `-` and `_`: safe in a path, a URL, a tag and a room name. */
export const RunId = z.string().regex(runIdPattern, 'a run id is 3 to 64 of a-z 0-9 _ -').brand<'RunId'>();
export type RunId = z.infer<typeof RunId>;
export const CheckpointId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,63}$/)
  .brand<'CheckpointId'>();
export type CheckpointId = z.infer<typeof CheckpointId>;
export const RunState = z.enum(runStates);
export type RunState = z.infer<typeof RunState>;

export const LearningRate = z
  .number(learningRateFaults.notANumber)
  .positive(learningRateFaults.tooLow)
  .max(maxLearningRate, learningRateFaults.tooHigh);

/** The checkpoint of another run at which a run starts. */
export const StartingPoint = z.object({
  runId: RunId,
  checkpointId: CheckpointId,
  /**
   * The run continues in the state of the checkpoint: its trainable parameters, learning rate and guard rules, with all
   * changes up to then. Otherwise the new run's own configuration counts, and its rules are armed.
   */
  goesOn: z.boolean().optional(),
});
export type StartingPoint = z.infer<typeof StartingPoint>;

/** Where a branch comes from. */
export const RunParent = StartingPoint.extend({ step: z.number().int().nonnegative() });
export type RunParent = z.infer<typeof RunParent>;

export const TrainerInfo = z.object({
  /** `tensorflow`, `wasm`, ... for the built-in trainer; any word for another one. */
  backend: z.string().max(maxWordLength),
  device: z.string().max(maxLineLength),
  host: z.string().max(maxLineLength),
  processId: z.number().int().nonnegative(),
  version: z.string().max(maxWordLength),
  /** The sources of its energy metrics, if it sends them. */
  energy: EnergyBasis.optional(),
});
export type TrainerInfo = z.infer<typeof TrainerInfo>;

/** A continuation of an ended run: its first event and step. */
export const Segment = z.object({ seq: z.number().int().positive(), fromStep: z.number().int().nonnegative() });
export type Segment = z.infer<typeof Segment>;

export const RunSummary = z.object({
  runId: RunId,
  description: RunDescription,
  parent: RunParent.nullable(),
  state: RunState,
  /** The reason for the state: the cause of a failure, or who paused it. May be empty. */
  reason: z.string(),
  trainer: TrainerInfo.nullable(),
  trainerConnected: z.boolean(),
  createdMs: z.number(),
  startedMs: z.number().nullable(),
  endedMs: z.number().nullable(),
  lastStep: z.number().int().nonnegative(),
  /** Highest event number that is durably stored; 0 before the first. */
  lastSeq: z.number().int().nonnegative(),
  /** What this hub has refused from the trainer; absent if nothing. */
  refused: z
    .object({
      count: z.number().int().positive(),
      /** The newest refusal, with its remedy. */
      message: z.string(),
      atMs: z.number(),
    })
    .optional(),
  /** The continuations after it had ended, in order. */
  segments: z.array(Segment).optional(),
  /** The kinds of commands that its trainer takes; if absent, all. */
  commands: z.array(z.string()).optional(),
  /** The trainer announced that it will be silent, until when and why. */
  busy: z.object({ untilMs: z.number(), why: z.string() }).optional(),
  /** Increases with every change: the summary with the larger number is newer. */
  revision: z.number().optional(),
});
export type RunSummary = z.infer<typeof RunSummary>;

/** The fields of a summary that change with every step. */
export type RunProgress = Pick<RunSummary, 'runId' | 'createdMs' | 'lastStep' | 'lastSeq' | 'revision'>;
export const progressOf = ({ runId, createdMs, lastStep, lastSeq, revision }: RunSummary): RunProgress => ({
  ...{ runId, createdMs, lastStep, lastSeq },
  ...(revision !== undefined && { revision }),
});
