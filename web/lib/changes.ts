import type { CommandAction, CommandRecord } from '@plumbline/shared/command';
import type { RunConfig } from '@plumbline/shared/run';
import { formatLearningRate, formatStep } from '../charts/format';
import { selectionWords } from './words';

type Change = CommandRecord & {
  action: Extract<CommandAction, { kind: 'set_trainable' | 'set_learning_rate' | 'lower_learning_rate' }>;
  step: number;
};
const isChange = (record: CommandRecord): record is Change =>
  record.state === 'applied' &&
  record.step !== null &&
  ['set_trainable', 'set_learning_rate', 'lower_learning_rate'].includes(record.action.kind);

/** What was changed in mid-run of what the optimizer does, oldest first. */
export const changesOf = (commands: Iterable<CommandRecord>): Change[] =>
  [...commands].filter(isChange).sort((a, b) => a.step - b.step || a.receivedMs - b.receivedMs);

/** The learning rate that the schedule scales: the configuration's, or what it was set to or lowered to last. */
export function peakLearningRate(config: RunConfig, commands: Iterable<CommandRecord>): number {
  return changesOf(commands).reduce((rate, { action }) => {
    if (action.kind === 'set_learning_rate') return action.learningRate;
    return action.kind === 'lower_learning_rate' ? rate * action.factor : rate;
  }, config.learningRate);
}

/**
 * The configuration under which a run trained at a step: its own, with what was changed up to there. What was chosen by
 * groups or by a pattern has no place in a configuration and is left out.
 */
export function configAt(config: RunConfig, commands: Iterable<CommandRecord>, step: number): RunConfig {
  const changes = changesOf(commands).filter((change) => change.step <= step);
  const selections = changes.flatMap(({ action }) => (action.kind === 'set_trainable' ? [action.selection] : []));
  const last = selections.at(-1);
  return {
    ...config,
    learningRate: peakLearningRate(config, changes),
    ...(last?.kind === 'recipe' && { recipe: last.recipe }),
  };
}

/** A change in a few words: `SA Proj at 400`, `lr 3e-4 at 1,200`. */
export function shortChangeWords({ action, step }: Change): string {
  return `${whatChanged(action)} at ${formatStep(step)}`;
}

function whatChanged(action: Change['action']): string {
  switch (action.kind) {
    case 'set_trainable':
      return selectionWords(action.selection);
    case 'set_learning_rate':
      return `lr ${formatLearningRate(action.learningRate)}`;
    case 'lower_learning_rate':
      return `lr × ${action.factor}`;
  }
}
