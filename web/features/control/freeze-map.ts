import { resolveSelection, type PartAmount, type SelectableModel } from '@plumbline/shared/selection';
import type { ModelInfo, ModelRecipe, ParameterInfo, TrainableSelection } from '@plumbline/shared/parameter';
import { formatCount } from '../../charts/format';

/** `fixed`: the run's method keeps it as it is, whatever is chosen. */
export type Training = 'trainable' | 'frozen' | 'partly' | 'fixed';

/** How much of each group's trainable parameters trains, given the names of the training parameters. */
export function trainingByGroup(
  parameters: readonly ParameterInfo[],
  trainable: Iterable<string>,
): Map<string, Training> {
  const trains = new Set(trainable);
  const training = new Map<string, Training>();
  for (const { name, group, fixed } of parameters) {
    const here: Training = fixed ? 'fixed' : trains.has(name) ? 'trainable' : 'frozen';
    training.set(group, together(training.get(group) ?? 'fixed', here));
  }
  return training;
}

/** Fixed groups do not count beside others in a cell. */
const together = (before: Training, here: Training): Training =>
  before === 'fixed' ? here : here === 'fixed' || before === here ? before : 'partly';

/** The state of a cell with several groups. */
export const trainingOf = (groups: readonly string[], training: ReadonlyMap<string, Training>): Training =>
  groups.reduce<Training>((before, group) => together(before, training.get(group) ?? 'frozen'), 'fixed');

/** The selection after setting the groups in `painted` to train or not, starting from the current choice. */
export function paintGroups(
  training: ReadonlyMap<string, Training>,
  painted: ReadonlySet<string>,
  trains: boolean,
): TrainableSelection {
  // A group that trains in part is selected as a whole: groups are the unit of this selection.
  const groups = [...training].flatMap(([group, now]) =>
    now !== 'fixed' && (painted.has(group) ? trains : now !== 'frozen') ? [group] : [],
  );
  return { kind: 'groups', groups };
}

export interface SelectionDiff {
  /** Groups whose training differs, in the model's order. */
  changed: ReadonlySet<string>;
  nowTrainable: number;
  nowFrozen: number;
}
/** The changes that a draft would make, group by group. */
export function diffTraining(
  before: ReadonlyMap<string, Training>,
  after: ReadonlyMap<string, Training>,
): SelectionDiff {
  const changed = new Set<string>();
  let nowFrozen = 0;
  for (const [group, now] of after) {
    if (before.get(group) === now) continue;
    changed.add(group);
    if (now === 'frozen') nowFrozen++;
  }
  return { changed, nowTrainable: changed.size - nowFrozen, nowFrozen };
}

/** A recipe of the model, and what it trains in this run; null if it hits nothing trainable. */
export interface ResolvedRecipe extends ModelRecipe {
  trainable: readonly string[] | null;
}
export const resolveRecipes = (model: SelectableModel): ResolvedRecipe[] =>
  model.recipes.map((recipe) => {
    const resolved = resolveSelection({ kind: 'recipe', recipe: recipe.name }, model);
    return { ...recipe, trainable: resolved.ok ? resolved.trainable : null };
  });

/** The recipe that trains exactly these parameters; the chosen one if two do. */
export function recipeOf(
  trainable: readonly string[],
  chosen: TrainableSelection | undefined,
  recipes: readonly ResolvedRecipe[],
): string | undefined {
  if (chosen?.kind === 'recipe') return chosen.recipe;
  const wanted = new Set(trainable);
  const same = recipes.find(
    (recipe) => recipe.trainable?.length === wanted.size && recipe.trainable.every((name) => wanted.has(name)),
  );
  return same?.name;
}

/** How much trains, in the words of every page: `40 tensors, 466k parameters`, with the total if given. */
export function amountWords(
  { tensors, size }: { tensors: number; size: number },
  of?: { tensors: number; size: number },
): string {
  const count = (value: number): string => value.toLocaleString('en-US');
  if (of)
    return `${count(tensors)} of ${count(of.tensors)} tensors, ${formatCount(size)} of ${formatCount(of.size)} parameters`;
  return `${count(tensors)} tensor${tensors === 1 ? '' : 's'}, ${formatCount(size)} parameters`;
}

export type PatternPreview =
  { ok: true; names: string[]; size: number; byPart: PartAmount[] } | { ok: false; reason: string };

/** Previews the parameters that a pattern hits; if it hits none, says why and suggests one that does. */
export function previewPattern(pattern: string, model: Omit<ModelInfo, 'name'>): PatternPreview {
  if (pattern.trim() === '') return { ok: false, reason: 'Type names; * stands for anything, commas separate.' };
  if (pattern.length > 200) return { ok: false, reason: 'At most 200 characters.' };
  const resolved = resolveSelection({ kind: 'pattern', pattern }, model);
  if (resolved.ok)
    return { ok: true, names: resolved.trainable, size: resolved.trainableSize, byPart: resolved.byPart };
  const widened = widenPattern(pattern, model);
  return { ok: false, reason: widened ? `${resolved.reason.replace(/\.$/, '')}: try ${widened}` : resolved.reason };
}

/** The pattern with stars around the parts that hit nothing, if that hits something. */
function widenPattern(pattern: string, model: Omit<ModelInfo, 'name'>): string | null {
  const hits = (part: string): boolean => resolveSelection({ kind: 'pattern', pattern: part }, model).ok;
  const parts = pattern.split(',').map((part) => part.trim());
  const widened = parts.map((part) => (part === '' || hits(part) ? part : `*${part.replace(/^\*+|\*+$/g, '')}*`));
  return widened.every((part) => part !== '' && part !== '**' && hits(part)) ? widened.join(', ') : null;
}
