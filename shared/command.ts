import { z } from 'zod';
import { MetricName, WireNumber } from './metric.js';
import { TrainableSelection } from './parameter.js';
import { allPlain } from './plain-text.js';
import { CheckpointId, LearningRate, RunId } from './run.js';
import { GuardRules, LowerLearningRate, RestoreBestCheckpoint, RuleName, WebhookUrl } from './rule.js';

/** The caller makes the id (a UUID will do). Repeating a command returns the first outcome; its id with another action is refused. */
export const CommandId = z
  .string()
  .regex(/^[A-Za-z0-9_-]{8,64}$/, 'a command id is 8 to 64 of A-Z a-z 0-9 _ -')
  .brand<'CommandId'>();
export type CommandId = z.infer<typeof CommandId>;

/** An instruction to a trainer, with its arguments. All of them also work while the run is paused. */
export const CommandAction = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('pause') }),
  z.object({ kind: z.literal('resume') }),
  /** One optimizer step, then paused again. */
  z.object({ kind: z.literal('step_once') }),
  z.object({ kind: z.literal('stop') }),
  z.object({ kind: z.literal('set_trainable'), selection: TrainableSelection }),
  z.object({ kind: z.literal('set_learning_rate'), learningRate: LearningRate }),
  /** Multiplies the learning rate that the schedule scales, as it is when the command takes effect. */
  LowerLearningRate,
  z.object({ kind: z.literal('evaluate_now') }),
  z.object({ kind: z.literal('save_checkpoint') }),
  /**
   * Opens a branch: the trainer ends this run and continues as `branchRunId` from the checkpoint. The curves of this run
   * stay. The hub fills in a missing `branchRunId`.
   */
  z.object({ kind: z.literal('restore_checkpoint'), checkpointId: CheckpointId, branchRunId: RunId.optional() }),
]);
export type CommandAction = z.infer<typeof CommandAction>;

/** A command as a trainer takes it. */
export const Command = z.object({ commandId: CommandId, runId: RunId, action: CommandAction });
export type Command = z.infer<typeof Command>;

/** Replaces the guard rules of a run. The hub carries it out. Unchanged rules keep their state. */
export const SetRules = z.object({
  kind: z.literal('set_rules'),
  rules: GuardRules,
  /**
   * The rules that the caller has seen. The command is rejected if other rules are in force by now, so that nobody removes
   * a rule unknowingly. If absent, the new rules replace any others. It is not kept in the log.
   */
  replaces: GuardRules.optional(),
});
export type SetRules = z.infer<typeof SetRules>;

/**
 * Ends a run whose trainer hangs: the hub marks it failed, closes the trainer's connection, ends the process of a built-in
 * trainer and takes no more events of the run. It is allowed once a `stop` is overdue (see `stopOverdueMs`).
 */
export const EndRun = z.object({ kind: z.literal('end_run') });

/** A command that people can give. */
export const AskedAction = z.discriminatedUnion('kind', [...CommandAction.options, SetRules, EndRun]);
export type AskedAction = z.infer<typeof AskedAction>;

/** A command as a person gives it. */
export const AskedCommand = z.object({ commandId: CommandId, runId: RunId, action: AskedAction.superRefine(allPlain) });
export type AskedCommand = z.infer<typeof AskedCommand>;

/** Notifies a webhook that a rule has fired. */
export const Notification = z.object({
  kind: z.literal('notify'),
  url: WebhookUrl,
  rule: RuleName,
  metric: MetricName,
  /** The value that made the rule fire, and its step. */
  step: z.number().int().nonnegative(),
  value: WireNumber,
  firedMs: z.number(),
});
export type Notification = z.infer<typeof Notification>;

/** All commands, from people and from rules. The hub itself sends notifications and finds the best checkpoint. */
export const GivenAction = z.union([AskedAction, RestoreBestCheckpoint, Notification]);
export type GivenAction = z.infer<typeof GivenAction>;
export type CommandKind = GivenAction['kind'];

/** A command from a person or a rule, as the hub receives it. */
export const GivenCommand = z.object({
  commandId: CommandId,
  runId: RunId,
  action: GivenAction,
  /** Why it was given: the values that made a rule fire. Optional for people. */
  cause: z.string().max(1000).optional(),
});
export type GivenCommand = z.infer<typeof GivenCommand>;

/** Each command ends exactly once; all states but `pending` are final. */
export const commandStates = ['pending', 'rejected', 'applied', 'failed', 'expired'] as const;
export const CommandState = z.enum(commandStates);
export type CommandState = z.infer<typeof CommandState>;

/** A line of the audit log. */
export const CommandRecord = z.object({
  ...GivenCommand.shape,
  /** Who gave it: `dashboard`, `cli` for `plumbline`, `api` for another program, or `rule:<name>`. */
  author: z.string().max(80),
  state: CommandState,
  receivedMs: z.number(),
  endedMs: z.number().nullable(),
  /** The step it took effect at. */
  step: z.number().int().nonnegative().nullable(),
  /** For `set_rules`: the last event that the previous rules judged. */
  afterSeq: z.number().int().nonnegative().optional(),
  before: z.record(z.string(), z.unknown()).nullable(),
  after: z.record(z.string(), z.unknown()).nullable(),
  /** Why it was rejected, failed or expired. */
  reason: z.string(),
});
export type CommandRecord = z.infer<typeof CommandRecord>;
