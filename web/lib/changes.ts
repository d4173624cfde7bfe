import type { CommandAction, CommandRecord } from '@plumbline/shared/command';
import type { RunConfig } from '@plumbline/shared/run';
import { formatLearningRate, formatStep } from '../charts/format';
import { selectionWords } from './words';

type Change = CommandRecord & {
  action: Extract<CommandAction, { kind: 'set_trainable' | 'set_learning_rate' }>;
  step: number;
};
const isChange = (record: CommandRecord): record is Change =>
  record.state === 'applied' &&
  record.step !== null &&
  (record.action.kind === 'set_trainable' || record.action.kind === 'set_learning_rate');

/** What was changed in mid-run of what the optimizer does, oldest first. */
export const changesOf = (commands: Iterable<CommandRecord>): Change[] =>
  [...commands].filter(isChange).sort((a, b) => a.step - b.step || a.receivedMs - b.receivedMs);

/** The learning rate that the schedule scales: the configuration's, or the one that was set last. */
export function peakLearningRate(config: RunConfig, commands: Iterable<CommandRecord>): number {
  const rates = changesOf(commands).flatMap(({ action }) =>
    action.kind === 'set_learning_rate' ? [action.learningRate] : [],
  );
  return rates.at(-1) ?? config.learningRate;
}

/** A change in a few words: `SA Proj at 400`, `lr 3e-4 at 1,200`. */
export function shortChangeWords({ action, step }: Change): string {
  const what =
    action.kind === 'set_trainable'
      ? selectionWords(action.selection)
      : `lr ${formatLearningRate(action.learningRate)}`;
  return `${what} at ${formatStep(step)}`;
}
