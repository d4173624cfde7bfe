import { z } from 'zod';
import {
  maxDimensions,
  maxExpert,
  maxGroupNameLength,
  maxLayer,
  maxLineLength,
  maxParameterNameLength,
  maxParameters,
  maxPatternLength,
  maxRecipes,
  maxWordLength,
} from './limits.js';

export const ParameterName = z.string().min(1).max(maxParameterNameLength);

/** It is part of a metric's name (`drift/<group>`). */
const GroupName = z
  .string()
  .max(maxGroupNameLength)
  .regex(/^[A-Za-z0-9_.-]+$/, 'the name of a parameter group has only A-Z a-z 0-9 _ . -');

/** The part of the model that a parameter belongs to. `head` is the language model's output head; `other` is unknown. */
export const parts = ['language', 'vision', 'projector', 'embedding', 'head', 'other'] as const;
export type Part = (typeof parts)[number];

const roleWord = z.string().min(1).max(maxWordLength);
/** An absent field means the same as null: the parameter has none. */
const ParameterRole = z.object({
  part: z.enum(parts),
  /** The index of its layer within its part, from 0. */
  layer: z.number().int().nonnegative().max(maxLayer).nullable().optional(),
  /** `self_attn`, `mlp`, `norms`, ... */
  block: roleWord.nullable().optional(),
  /** `q_proj`, `gate_up_proj`, `fc1`, ... */
  projection: roleWord.nullable().optional(),
  /** The index of its expert within its layer, from 0. */
  expert: z.number().int().nonnegative().max(maxExpert).nullable().optional(),
});
export type ParameterRole = z.infer<typeof ParameterRole>;

/**
 * The smallest unit that pages draw, probes measure (`drift/<group>`) and people freeze: a projection with its bias and
 * adapters, or the norms of a layer. A group has one role.
 */
export const ParameterGroup = z.object({ name: GroupName, ...ParameterRole.shape });
export type ParameterGroup = z.infer<typeof ParameterGroup>;

/** A tensor of the model, under the trainer's own name. */
export const ParameterInfo = z.object({
  name: ParameterName,
  shape: z.array(z.number().int().nonnegative()).max(maxDimensions),
  /** Number of scalars. */
  size: z.number().int().nonnegative(),
  /** Name of its group. */
  group: GroupName,
  /** The method never trains it, whatever is selected, such as the weights below LoRA adapters. */
  fixed: z.boolean().optional(),
});
export type ParameterInfo = z.infer<typeof ParameterInfo>;

const RecipeName = z
  .string()
  .min(1, 'a recipe needs a name')
  .max(maxWordLength, `the name of a recipe has at most ${maxWordLength} characters`);
/** A named choice of groups to train. Without groups it freezes everything. */
export const ModelRecipe = z.object({
  name: RecipeName,
  /** For people: `SA Proj`. */
  label: z.string().min(1).max(maxWordLength),
  /** Names of the groups that it trains. */
  groups: z.array(GroupName).max(maxParameters),
});
export type ModelRecipe = z.infer<typeof ModelRecipe>;

/**
 * The model as its trainer describes it. Nobody else parses names: rows, columns and recipes come from here. A
 * `run_started` with 50,000 tensors, each in a group of its own, and the recipes of the built-in trainer has about 27 MB
 * if names have 46 characters, and 30 MB if they have 78. That fits in a message of 32 MiB.
 */
export const ModelInfo = z
  .object({
    name: z.string().max(maxLineLength),
    groups: z.array(ParameterGroup).max(maxParameters).default([]),
    parameters: z.array(ParameterInfo).max(maxParameters),
    recipes: z.array(ModelRecipe).max(maxRecipes).default([]),
  })
  .superRefine(({ groups, parameters, recipes }, context) => {
    const fault = modelFault(groups, parameters, recipes);
    if (fault) context.addIssue({ code: 'custom', ...fault });
  });
export type ModelInfo = z.infer<typeof ModelInfo>;

/** The first invalid reference or name. */
function modelFault(
  groups: readonly ParameterGroup[],
  parameters: readonly ParameterInfo[],
  recipes: readonly ModelRecipe[],
): { path: (string | number)[]; message: string } | null {
  const known = new Set<string>();
  const repeated = (list: string, name: string): string => `two ${list} are called "${name}"; give each its own name`;
  for (const [index, { name }] of groups.entries()) {
    if (known.has(name)) return { path: ['groups', index, 'name'], message: repeated('groups', name) };
    known.add(name);
  }
  const unlisted = (what: string, group: string): string =>
    `${what} names the group "${group}", which is not in groups; add it there with its role`;
  const names = new Set<string>();
  for (const [index, { name, group }] of parameters.entries()) {
    if (names.has(name)) return { path: ['parameters', index, 'name'], message: repeated('parameters', name) };
    names.add(name);
    if (!known.has(group))
      return { path: ['parameters', index, 'group'], message: unlisted(`the parameter "${name}"`, group) };
  }
  const recipeNames = new Set<string>();
  for (const [index, recipe] of recipes.entries()) {
    if (recipeNames.has(recipe.name))
      return { path: ['recipes', index, 'name'], message: repeated('recipes', recipe.name) };
    recipeNames.add(recipe.name);
    const unknown = recipe.groups.find((group) => !known.has(group));
    if (unknown !== undefined)
      return { path: ['recipes', index, 'groups'], message: unlisted(`the recipe "${recipe.name}"`, unknown) };
  }
  return null;
}

/** The parameters to train from now on; all others are frozen. */
export const TrainableSelection = z.discriminatedUnion('kind', [
  /** One of the recipes that the trainer has sent with its model. */
  z.object({ kind: z.literal('recipe'), recipe: RecipeName }),
  z.object({ kind: z.literal('groups'), groups: z.array(z.string().min(1).max(maxPatternLength)).max(maxParameters) }),
  /** Comma-separated name patterns; `*` stands for any run of characters, e.g. `language_model.layers.*.mlp.*`. */
  z.object({ kind: z.literal('pattern'), pattern: z.string().min(1).max(maxPatternLength) }),
]);
export type TrainableSelection = z.infer<typeof TrainableSelection>;

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
