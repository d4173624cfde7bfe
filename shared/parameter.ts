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
import { parts } from './model-part.js';

export * from './model-part.js';

export const ParameterName = z.string().min(1).max(maxParameterNameLength);

/** It is part of a metric's name (`drift/<group>`). */
const GroupName = z
  .string()
  .max(maxGroupNameLength)
  .regex(/^[A-Za-z0-9_.-]+$/, 'the name of a parameter group has only A-Z a-z 0-9 _ . -');

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
