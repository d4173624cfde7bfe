import { saysItsStep } from '@plumbline/shared/branch-name';
import type { CommandRecord, GivenAction } from '@plumbline/shared/command';
import type { TrainingMethod } from '@plumbline/shared/built-in/method';
import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import type { Recipe } from '@plumbline/shared/built-in/recipe';
import { describeSelection } from '@plumbline/shared/selection';
import type { ModelRecipe, TrainableSelection } from '@plumbline/shared/parameter';
import { entryOf } from '@plumbline/shared/record';
import { isRuleAuthor, ruleAuthor } from '@plumbline/shared/rule';
import type { TargetTask } from '@plumbline/shared/built-in/tasks';
import { targetNames, taskLabel } from '@plumbline/shared/run-tasks';
import type { RunDescription } from '@plumbline/shared/run-description';
import type { RunState, RunSummary } from '@plumbline/shared/run';
import { formatLearningRate, formatStep, formatValue, type Unit } from '../charts/format';

/** The words that people see for the domain's values. Each has one place. */
export const recipeWords: Record<Recipe, { name: string; says: string }> = {
  full: { name: 'Full', says: 'The whole language model. Learns fastest, forgets most.' },
  everything: { name: 'Everything', says: 'Vision tower and projector too.' },
  sa_proj: { name: 'SA Proj', says: 'Self-attention q, k, v, o only. In the paper: forgets less.' },
  sa_qkv: { name: 'SA QKV', says: 'Self-attention q, k, v; the output projection stays frozen.' },
  mlp: { name: 'MLP', says: 'All of the MLP. In the paper: shifts output tokens.' },
  mlp_gate_up: { name: 'MLP Gate & Up', says: 'Down stays frozen. In the paper: learns well, forgets little.' },
  mlp_down: { name: 'MLP Down', says: 'The projection that writes to the residual stream, alone.' },
  projector: { name: 'Projector', says: 'Between vision and language. The language model stays.' },
  vision: { name: 'Vision', says: 'The vision tower alone.' },
  none: { name: 'None', says: 'Everything frozen: a baseline that only evaluates.' },
};
const builtInRecipe = (name: string): { name: string; says: string } | undefined =>
  entryOf<{ name: string; says: string }>(recipeWords, name);
/** The description of a recipe beside its label; empty for an unknown recipe. */
export const recipeHint = (name: string): string => builtInRecipe(name)?.says ?? '';
type Labels = readonly Pick<ModelRecipe, 'name' | 'label'>[];
const recipeLabel = (name: string, recipes: Labels): string =>
  recipes.find((recipe) => recipe.name === name)?.label ?? builtInRecipe(name)?.name ?? name;
export const methodWords: Record<TrainingMethod['kind'], { name: string; says: string }> = {
  fine_tuning: { name: 'Fine-tuning', says: 'Plain: the recipe’s weights learn the task, nothing else.' },
  lora: { name: 'LoRA', says: 'Low-rank adapters learn, the model’s weights stay.' },
  lwf: { name: 'LwF', says: 'The loss also asks for the base model’s answers.' },
  wise_ft: { name: 'WiSE-FT', says: 'Also evaluates weights between base and trained.' },
  mixture_of_experts: { name: 'Mixture of experts', says: 'Copies of each MLP learn beside it; a router weighs them.' },
};
export const taskSays: Record<TargetTask, string> = {
  kinds: 'Which of twelve kinds a bird is, by its markings.',
  counting: 'How many shapes there are, 1 to 6.',
  tissue: 'What a real texture or tissue slide shows.',
  reading: 'A word of three letters, spelled.',
  clock: 'The time on a dial, to the quarter hour.',
};
/** A run's skills; with stages in the order of teaching, `Counting → Clock reading`. */
export function sequenceWords(description: Pick<RunDescription, 'stages' | 'tasks'>): string {
  const { stages } = description;
  const words = (stages.length > 0 ? stages.map(({ task }) => task) : targetNames(description, [])).map((name) =>
    taskLabel(description, name),
  );
  return words.join(stages.length > 0 ? ' → ' : ', ');
}
export const stateWords: Record<RunState, string> = {
  created: 'Starting',
  running: 'Running',
  paused: 'Paused',
  finished: 'Finished',
  stopped: 'Stopped',
  failed: 'Failed',
};

/** A branch's name, with the step at which it begins. */
export const branchWords = (branch: RunSummary): string =>
  saysItsStep(branch)
    ? branch.description.name
    : `${branch.description.name} from step ${formatStep(branch.parent!.step)}`;

/** @param recipes the model's own, if known */
export const selectionWords = (selection: TrainableSelection, recipes: Labels = []): string =>
  selection.kind === 'recipe' ? recipeLabel(selection.recipe, recipes) : describeSelection(selection);

/** `no guard rules`, `1 guard rule`, `2 guard rules`. */
export const guardRulesWords = (count: number): string =>
  `${count === 0 ? 'no' : count} guard rule${count === 1 ? '' : 's'}`;

/** What a command asks for, e.g. `Train SA Proj`, `Peak learning rate 1e-4`. */
export function actionWords(action: GivenAction, recipes: Labels = []): string {
  switch (action.kind) {
    case 'pause':
      return 'Pause';
    case 'resume':
      return 'Resume';
    case 'step_once':
      return 'One step';
    case 'stop':
      return 'Stop';
    case 'end_run':
      return 'End without the trainer';
    case 'set_trainable':
      return action.selection.kind === 'recipe' && action.selection.recipe === 'none'
        ? 'Freeze everything'
        : `Train ${selectionWords(action.selection, recipes)}`;
    case 'set_rules':
      return action.rules.length === 0 ? 'Remove all guard rules' : `Set ${guardRulesWords(action.rules.length)}`;
    case 'set_learning_rate':
      return `Peak learning rate ${formatLearningRate(action.learningRate)}`;
    case 'lower_learning_rate':
      return `Peak learning rate × ${action.factor}`;
    case 'evaluate_now':
      return 'Evaluate';
    case 'save_checkpoint':
      return 'Save checkpoint';
    case 'restore_checkpoint':
      return `Restore ${action.checkpointId}`;
    case 'restore_best_checkpoint':
      return 'Restore the best checkpoint';
    case 'notify':
      return `Notify ${new URL(action.url).host}`;
  }
}

/** The author of a command in words, if it is not a person at the dashboard: `rule “Bias”`. */
export const authorWords = (author: string): string =>
  isRuleAuthor(author) ? `rule “${author.slice(ruleAuthor('').length)}”` : author;

/** Names in a trainer's answer to a command that this page words differently. */
const answerWords: Record<string, { name: string; unit: Unit }> = {
  held_out_mean: { name: 'held-out accuracy', unit: 'percent' },
};

const longestWord = 48;
function valueWords(key: string, value: unknown, recipes: Labels): string {
  if (value === undefined || value === null) return '–';
  if (typeof value === 'number') {
    if (/rate/i.test(key)) return formatLearningRate(value);
    const unit = entryOf(answerWords, key)?.unit;
    return unit === undefined && Number.isInteger(value) ? formatStep(value) : formatValue(value, unit ?? '');
  }
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  if (key === 'selection') return shortened(recipeLabel(text, recipes));
  return shortened(text);
}

function shortened(text: string): string {
  if (text.length <= longestWord) return text;
  const parts = text.split(',').length;
  return parts > 3 ? `${parts} names` : `${text.slice(0, longestWord - 1)}…`;
}

/** The changes of a command, one line each: `learning rate 5e-4 → 1e-4`. */
export function changeWords(
  { before, after }: Pick<CommandRecord, 'before' | 'after'>,
  recipes: Labels = [],
): string[] {
  const keys = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])];
  return keys.flatMap((key) => {
    const [from, to] = [entryOf(before ?? {}, key), entryOf(after ?? {}, key)];
    if (JSON.stringify(from) === JSON.stringify(to)) return [];
    const spelled = key
      .replace(/([A-Z])/g, ' $1')
      .replaceAll('_', ' ')
      .toLowerCase();
    const name = entryOf(answerWords, key)?.name ?? spelled;
    return [
      from === undefined
        ? `${name} ${valueWords(key, to, recipes)}`
        : `${name} ${valueWords(key, from, recipes)} → ${valueWords(key, to, recipes)}`,
    ];
  });
}

/**
 * The text of a panel without values. Only the built-in trainer is known to send them with a probe.
 * @param probe which probe brings the values
 */
export const awaitedWords = (description: RunDescription | undefined, probe: 'first' | 'next' = 'first'): string =>
  description && builtInConfig(description) ? `Measured with the ${probe} probe.` : 'No value so far.';
