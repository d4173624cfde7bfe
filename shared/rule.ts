import { z } from 'zod';
import { maxRuleActions, maxRuleNameLength, maxRules, maxRuleValues, maxWebhookLength } from './limits.js';
import { MetricName, WireNumber } from './metric.js';
import { TrainableSelection } from './parameter.js';

export * from './rule-author.js';

/** A rule's name is unique within its run. The commands of a rule have the author `rule:<name>`. */
export const RuleName = z
  .string()
  .trim()
  .min(1, 'a rule needs a name')
  .max(maxRuleNameLength, `a name has at most ${maxRuleNameLength} characters`);

const side = z.enum(['above', 'below'], 'a side is above or below');
const limit = z.number('give a number');
/** The number of consecutive values past the limit that make the rule fire. */
const consecutive = z
  .number('give a whole number')
  .int('give a whole number')
  .min(1, 'at least 1')
  .max(maxRuleValues, `at most ${maxRuleValues}`)
  .default(1);
const window = (least: number) =>
  z
    .number('give a whole number')
    .int('give a whole number')
    .min(least, `a window has at least ${least} values`)
    .max(maxRuleValues, `a window has at most ${maxRuleValues} values`);

/**
 * The condition of a rule on its series. All kinds but `not_finite` compare a reading strictly with a limit. The reading is
 * the value itself (`threshold`); the least-squares slope of the last `window` values, per step (`slope`); the value minus
 * the base model's, or minus the mean of the previous `window` values (`change_from_…`). `below` with `by: 5` means more
 * than 5 below. Windows and readings skip values that are not finite, but an infinite value is past any limit on its side.
 */
export const RuleCondition = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('threshold'), side, value: limit, consecutive }),
  z.object({ kind: z.literal('slope'), side, perStep: limit, window: window(2), consecutive }),
  z.object({
    kind: z.literal('change_from_base'),
    side,
    by: limit.nonnegative('a change is 0 or more; its side says which way'),
    consecutive,
  }),
  z.object({
    kind: z.literal('change_from_window'),
    side,
    by: limit.nonnegative('a change is 0 or more; its side says which way'),
    window: window(1),
    consecutive,
  }),
  /** NaN or infinite. */
  z.object({ kind: z.literal('not_finite'), consecutive }),
]);
export type RuleCondition = z.infer<typeof RuleCondition>;

/** The factor on the learning rate that the schedule scales. */
export const LearningRateFactor = z
  .number('give a number')
  .positive('a factor is above 0')
  .lt(1, 'a factor is below 1, so that the learning rate goes down');
export const LowerLearningRate = z.object({ kind: z.literal('lower_learning_rate'), factor: LearningRateFactor });

/** Restores the run's checkpoint with the best metric, as last measured before it was saved. */
export const RestoreBestCheckpoint = z.object({
  kind: z.literal('restore_best_checkpoint'),
  metric: MetricName,
  better: z.enum(['higher', 'lower'], 'better is higher or lower'),
});
export type RestoreBestCheckpoint = z.infer<typeof RestoreBestCheckpoint>;

export const WebhookUrl = z
  .url({ protocol: /^https?$/, error: 'give an address that begins with https:// or http://' })
  .max(maxWebhookLength, `an address has at most ${maxWebhookLength} characters`)
  .refine(
    (url) => !/^\w+:\/\/[^/?#\\]*@/.test(url),
    'an address names no user and no password: everybody who may watch the run can read it',
  );

/** An action of a rule. A rule carries out its actions in order. */
export const RuleAction = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('pause') }),
  z.object({ kind: z.literal('set_trainable'), selection: TrainableSelection }),
  LowerLearningRate,
  z.object({ kind: z.literal('save_checkpoint') }),
  RestoreBestCheckpoint,
  z.object({ kind: z.literal('notify'), url: WebhookUrl }),
]);
export type RuleAction = z.infer<typeof RuleAction>;

/** A condition on one series of a run, and the actions when it holds. */
export const GuardRule = z.object({
  name: RuleName,
  metric: MetricName,
  condition: RuleCondition,
  /**
   * Hysteresis: after firing, a rule is armed again only when its reading is back on the right side of the limit by at
   * least this margin, in the reading's unit.
   */
  rearmMargin: z.number('give a number').nonnegative('a margin is 0 or more').default(0),
  actions: z
    .array(RuleAction)
    .min(1, 'a rule needs an action')
    .max(maxRuleActions, `a rule has at most ${maxRuleActions} actions`)
    .refine((actions) => {
      const restore = actions.findIndex(({ kind }) => kind === 'restore_best_checkpoint');
      return restore < 0 || actions.slice(restore + 1).every(({ kind }) => kind === 'notify');
    }, 'restoring a checkpoint ends the run: only notify may follow it'),
});
export type GuardRule = z.infer<typeof GuardRule>;

/** The rules of a run. */
export const GuardRules = z
  .array(GuardRule)
  .max(maxRules, `a run has at most ${maxRules} rules`)
  .superRefine((rules, context) => {
    const names = new Set<string>();
    for (const [index, { name }] of rules.entries()) {
      if (names.has(name))
        context.addIssue({
          code: 'custom',
          path: [index, 'name'],
          message: `two rules are called "${name}"; give each its own name`,
        });
      names.add(name);
    }
  });

/** A rule of a run, with its state. */
export const RuleState = z.object({
  rule: GuardRule,
  /** Whether it may fire. After firing, its series must come back first (see `rearmMargin`). */
  armed: z.boolean(),
  /** The number of firings in this run, and before the checkpoint that it branched from. */
  firings: z.number().int().nonnegative(),
  last: z.object({ step: z.number(), value: WireNumber, cause: z.string() }).nullable(),
});
export type RuleState = z.infer<typeof RuleState>;
