import { isRecipe } from '@plumbline/shared/built-in/recipe';
import type { CommandRecord, GivenAction } from '@plumbline/shared/command';
import { changesNothing, settingKinds } from '@plumbline/shared/command-change';
import type { TrainableSelection } from '@plumbline/shared/parameter';
import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import type { RunConfig } from '@plumbline/shared/built-in/run-config';
import type { RunDescription } from '@plumbline/shared/run-description';
import { formatLearningRate, formatStep } from '../charts/format';
import { guardRulesWords, selectionWords } from './words';

const changing = [...settingKinds, 'set_rules'] as const;
type Change = CommandRecord & {
  action: Extract<GivenAction, { kind: (typeof changing)[number] }>;
  step: number;
};
const isChange = (record: CommandRecord): record is Change =>
  record.state === 'applied' &&
  record.step !== null &&
  (changing as readonly string[]).includes(record.action.kind) &&
  !changesNothing(record);

/** The applied commands that changed what a run was configured with, oldest first. */
export const changesOf = (commands: Iterable<CommandRecord>): Change[] =>
  [...commands].filter(isChange).sort((a, b) => a.step - b.step || a.receivedMs - b.receivedMs);

/** What a run began with, as far as known. Only the built-in trainer's settings say it. */
export interface Beginning {
  learningRate?: number;
  recipe?: string;
}
export const beginningOf = (description: RunDescription): Beginning => builtInConfig(description) ?? {};

/** The learning rate that the schedule scales: the last one set or lowered to, or the one that the run began with. */
export function peakLearningRate(
  { learningRate }: Beginning & { learningRate: number },
  commands: Iterable<CommandRecord>,
): number;
export function peakLearningRate({ learningRate }: Beginning, commands: Iterable<CommandRecord>): number | undefined;
export function peakLearningRate({ learningRate }: Beginning, commands: Iterable<CommandRecord>): number | undefined {
  return changesOf(commands).reduce<number | undefined>((rate, { action }) => {
    if (action.kind === 'set_learning_rate') return action.learningRate;
    return action.kind === 'lower_learning_rate' && rate !== undefined ? rate * action.factor : rate;
  }, learningRate);
}

/** The selection that trains: the last one chosen, else the recipe that the run began with. */
export function selectionAfter(
  { recipe }: Beginning,
  commands: Iterable<CommandRecord>,
): TrainableSelection | undefined {
  return changesOf(commands).reduce<TrainableSelection | undefined>(
    (selection, { action }) => (action.kind === 'set_trainable' ? action.selection : selection),
    recipe === undefined ? undefined : { kind: 'recipe', recipe },
  );
}

/**
 * The configuration under which a run trained at a step: its own, with the changes up to that step. A selection by
 * groups or by a pattern does not fit into a configuration and is left out.
 */
export function configAt(config: RunConfig, commands: Iterable<CommandRecord>, step: number): RunConfig {
  const changes = changesOf(commands).filter((change) => change.step <= step);
  const selection = selectionAfter(config, changes);
  const recipe = selection?.kind === 'recipe' ? selection.recipe : '';
  return {
    ...config,
    learningRate: peakLearningRate(config, changes),
    ...(isRecipe(recipe) && { recipe }),
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
    case 'set_rules':
      return guardRulesWords(action.rules.length);
  }
}
