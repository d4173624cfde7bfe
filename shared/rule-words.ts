import { fourDigits } from './measured-value.js';
import type { RuleAction, RuleCondition } from './rule.js';
import { describeSelection } from './selection.js';

/** `above 0.05 for 2 values in a row`, to be read after the metric's name. */
export function describeCondition(condition: RuleCondition): string {
  const inARow = condition.consecutive > 1 ? ` for ${condition.consecutive} values in a row` : '';
  return saysLimit(condition) + inARow;
}

function saysLimit(condition: RuleCondition): string {
  switch (condition.kind) {
    case 'threshold':
      return `${condition.side} ${fourDigits(condition.value)}`;
    case 'slope':
      return `slope ${condition.side} ${fourDigits(condition.perStep)} a step over ${condition.window} values`;
    case 'change_from_base':
      return `more than ${fourDigits(condition.by)} ${condition.side} the base model`;
    case 'change_from_window':
      return condition.window === 1
        ? `more than ${fourDigits(condition.by)} ${condition.side} the value before`
        : `more than ${fourDigits(condition.by)} ${condition.side} the mean of the ${condition.window} values before`;
    case 'not_finite':
      return 'not finite';
  }
}

/** Describes an action briefly. */
export function describeAction(action: RuleAction): string {
  switch (action.kind) {
    case 'pause':
      return 'pause';
    case 'set_trainable':
      return `train ${describeSelection(action.selection)}`;
    case 'lower_learning_rate':
      return `learning rate × ${fourDigits(action.factor)}`;
    case 'save_checkpoint':
      return 'save a checkpoint';
    case 'restore_best_checkpoint':
      return `restore the checkpoint with the ${action.better === 'higher' ? 'highest' : 'lowest'} ${action.metric}`;
    case 'notify':
      return `notify ${action.url.replace(/^\w+:\/\//, '').replace(/[/?#\\].*$/, '')}`;
  }
}
