import { z } from 'zod';
import { EnergyBasis } from './energy.js';
import { maxLearningRate, maxLineLength, maxWordLength } from './limits.js';
import { RunDescription } from './run-description.js';

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

export const LearningRate = z
  .number('a learning rate is a number')
  .positive('a learning rate is above 0')
  .max(maxLearningRate, `a learning rate above ${maxLearningRate} destroys any model`);

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
  backend: z.string().max(maxWordLength),
  device: z.string().max(maxLineLength),
  host: z.string().max(maxLineLength),
  processId: z.number().int().nonnegative(),
  version: z.string().max(maxWordLength),
  /** Of a trainer that sends the metrics of energy: what they rest on. */
  energy: EnergyBasis.optional(),
});
export type TrainerInfo = z.infer<typeof TrainerInfo>;

/** Where a run that had ended went on: by which event, and from which step. */
export const Segment = z.object({ seq: z.number().int().positive(), fromStep: z.number().int().nonnegative() });
export type Segment = z.infer<typeof Segment>;

/**
 * Whether a later segment of its run has taken the place of what happened at a step: see `segment_started`.
 * @param segments in their order
 */
export const isSuperseded = (segments: readonly Segment[] | undefined, { seq, step }: { seq: number; step: number }) =>
  segments?.some((segment) => seq < segment.seq && step > segment.fromStep) ?? false;

export const RunSummary = z.object({
  runId: RunId,
  description: RunDescription,
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
  /** Where it went on after it had ended, in order; none where it never did. */
  segments: z.array(Segment).optional(),
  /** Kinds of commands that its trainer takes, while that is known; without it, all. */
  commands: z.array(z.string()).optional(),
  /** Its trainer has said that it will be silent for a while, and why. */
  busy: z.object({ untilMs: z.number(), why: z.string() }).optional(),
  /** Grows with every change: of two summaries of a run, the one with the larger number is later. */
  revision: z.number().optional(),
});
export type RunSummary = z.infer<typeof RunSummary>;

/** The little of a summary that changes with every step. */
export type RunProgress = Pick<RunSummary, 'runId' | 'createdMs' | 'lastStep' | 'lastSeq' | 'revision'>;
export const progressOf = ({ runId, createdMs, lastStep, lastSeq, revision }: RunSummary): RunProgress => ({
  ...{ runId, createdMs, lastStep, lastSeq },
  ...(revision !== undefined && { revision }),
});
/**
 * The summary with how far the run has come; unchanged where the progress is late, or of another run under its id. It
 * keeps its own revision: a summary that comes later than the progress may still be news.
 */
export const withProgress = <T extends RunSummary>(
  run: T,
  { createdMs, lastStep, lastSeq, revision = 0 }: RunProgress,
): T =>
  run.createdMs === createdMs && revision >= (run.revision ?? 0) && lastSeq >= run.lastSeq
    ? { ...run, lastStep, lastSeq }
    : run;

/** A run that was made for a trainer which has not come: nobody is there who could be told to stop. */
export const hasNoTrainerYet = ({ state, trainerConnected }: Pick<RunSummary, 'state' | 'trainerConnected'>): boolean =>
  state === 'created' && !trainerConnected;
