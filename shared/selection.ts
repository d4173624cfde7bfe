import { parts, type Part } from './model-part.js';
import type { ModelInfo, ParameterGroup, ParameterInfo, TrainableSelection } from './parameter.js';

/** An amount of one part of a model. */
export interface PartAmount {
  part: Part;
  tensors: number;
  /** Scalars. */
  size: number;
}

export type ResolvedSelection =
  | {
      ok: true;
      /** Names, in the model's order. */
      trainable: string[];
      trainableSize: number;
      totalSize: number;
      /** The trainable amount of each part, in the order of `parts`; parts without any are left out. */
      byPart: PartAmount[];
    }
  | { ok: false; reason: string };

/** The facts that resolve a selection. */
export type SelectableModel = Pick<ModelInfo, 'groups' | 'parameters' | 'recipes'>;

/**
 * The names of the parameters that a selection makes trainable, in the order of the model. The browser's preview and the
 * trainer both call this, so the preview is exact. It runs in time linear in the number of parameters.
 * It refuses a recipe, group or pattern without trainable parameters. Only a recipe without groups and an empty list of
 * groups select nothing.
 */
export function resolveSelection(selection: TrainableSelection, model: SelectableModel): ResolvedSelection {
  const hit = hitsOf(selection, model);
  if ('reason' in hit) return { ok: false, ...hit };
  const trainable = model.parameters.filter((parameter) => !parameter.fixed && hit.hits(parameter));
  return {
    ok: true,
    trainable: trainable.map(({ name }) => name),
    trainableSize: sizeOf(trainable),
    totalSize: sizeOf(model.parameters),
    byPart: amountByPart(trainable, model),
  };
}

type Hits = { hits: (parameter: ParameterInfo) => boolean } | { reason: string };

function hitsOf(selection: TrainableSelection, model: SelectableModel): Hits {
  switch (selection.kind) {
    case 'recipe':
      return recipeHits(selection.recipe, model);
    case 'groups':
      return groupHits(selection.groups, model);
    case 'pattern':
      return patternHits(selection.pattern, model);
  }
}

function recipeHits(name: string, { parameters, recipes }: SelectableModel): Hits {
  const recipe = recipes.find((each) => each.name === name);
  if (!recipe) {
    const names = recipes.map((each) => each.name).join(', ');
    return {
      reason: `This model has no recipe "${name}". ${names ? `It has ${names}.` : 'It has none: choose groups or a pattern.'}`,
    };
  }
  const wanted = new Set(recipe.groups);
  if (wanted.size > 0 && !parameters.some(({ group, fixed }) => !fixed && wanted.has(group)))
    return { reason: `The recipe ${name} hits no parameter that this run can train.` };
  return { hits: ({ group }) => wanted.has(group) };
}

function groupHits(groups: readonly string[], { parameters }: SelectableModel): Hits {
  const known = new Set(parameters.map(({ group }) => group));
  const unknown = groups.filter((group) => !known.has(group));
  if (unknown.length > 0) return { reason: `This model has no parameter group ${quoted(unknown)}.` };
  const free = new Set(parameters.flatMap(({ group, fixed }) => (fixed ? [] : [group])));
  const fixed = groups.filter((group) => !free.has(group));
  if (fixed.length > 0) return { reason: keeps(fixed) };
  const wanted = new Set(groups);
  return { hits: ({ group }) => wanted.has(group) };
}

function patternHits(text: string, { parameters }: SelectableModel): Hits {
  const patterns = [...new Set(text.split(',').map((pattern) => pattern.trim()))];
  const hit = new Set<string>();
  const [unmatched, onlyFixed] = [new Set(patterns), new Set(patterns)];
  for (const { name, fixed } of parameters)
    for (const pattern of patterns) {
      if (!matchesPattern(name, pattern)) continue;
      unmatched.delete(pattern);
      if (fixed) continue;
      onlyFixed.delete(pattern);
      hit.add(name);
    }
  if (unmatched.size > 0) return { reason: `The pattern ${quoted([...unmatched])} matches no parameter name.` };
  if (onlyFixed.size > 0) return { reason: keeps([...onlyFixed]) };
  return { hits: ({ name }) => hit.has(name) };
}

function matchesPattern(name: string, pattern: string): boolean {
  // Walks the literals between stars from left to right, in linear time, so that no pattern is slow.
  const pieces = pattern.split('*');
  if (pieces.length === 1) return name === pattern;
  const first = pieces[0]!;
  const last = pieces[pieces.length - 1]!;
  if (!name.startsWith(first)) return false;
  let at = first.length;
  for (const piece of pieces.slice(1, -1)) {
    const found = name.indexOf(piece, at);
    if (found < 0) return false;
    at = found + piece.length;
  }
  return name.length - last.length >= at && name.endsWith(last);
}

const sizeOf = (parameters: readonly ParameterInfo[]): number =>
  parameters.reduce((sum, parameter) => sum + parameter.size, 0);

function amountByPart(parameters: readonly ParameterInfo[], { groups }: SelectableModel): PartAmount[] {
  const partOf = new Map(groups.map(({ name, part }) => [name, part]));
  const amounts = new Map<Part, PartAmount>();
  for (const { group, size } of parameters) {
    const part = partOf.get(group) ?? 'other';
    const { tensors, size: before } = amounts.get(part) ?? { tensors: 0, size: 0 };
    amounts.set(part, { part, tensors: tensors + 1, size: before + size });
  }
  return parts.flatMap((part) => amounts.get(part) ?? []);
}

const keeps = (words: readonly string[]): string =>
  `This run's method keeps ${quoted(words)} as it is: it cannot be trained.`;

/** The first few of a list, so that a reason stays short. */
function quoted(words: readonly string[]): string {
  const shown = words
    .slice(0, 3)
    .map((word) => `"${word}"`)
    .join(', ');
  return words.length > 3 ? `${shown} and ${words.length - 3} more` : shown;
}

/** Describes a selection briefly, for logs, timelines and marks on charts. */
export function describeSelection(selection: TrainableSelection): string {
  switch (selection.kind) {
    case 'recipe':
      return selection.recipe;
    case 'groups':
      return `${selection.groups.length} ${selection.groups.length === 1 ? 'group' : 'groups'}`;
    case 'pattern':
      return selection.pattern;
  }
}

/**
 * Describes a group's place briefly: `layer 3 up_proj`, `vision layer 3 fc1`, `layer 3 expert 7 up_proj`. A group without
 * a layer has its name.
 */
export function describeGroup({ name, part, layer, block, projection, expert }: ParameterGroup): string {
  if (layer === undefined || layer === null) return name;
  return [
    ...(part === 'language' ? [] : [part]),
    `layer ${layer}`,
    ...(expert === undefined || expert === null ? [] : [`expert ${expert}`]),
    projection ?? block ?? '',
  ]
    .join(' ')
    .trimEnd();
}

/** How many tensors of which part, e.g. `448 language tensors and 96 vision tensors`. */
export function describeParts(amounts: readonly PartAmount[]): string {
  const words = amounts.map(
    ({ part, tensors }) => `${tensors.toLocaleString('en-US')} ${part} tensor${tensors === 1 ? '' : 's'}`,
  );
  const last = words.pop();
  if (last === undefined) return 'no tensor';
  return words.length === 0 ? last : `${words.join(', ')} and ${last}`;
}
