import type { TrainingMethod } from './method.js';

/**
 * The selections of the built-in trainer: the recipes of arXiv 2510.08564, parts beside the language model,
 * `everything`, and `none`, which freezes everything. Its model has a recipe of each name.
 */
export const recipes = [
  'full',
  'everything',
  'sa_proj',
  'sa_qkv',
  'mlp',
  'mlp_gate_up',
  'mlp_down',
  'projector',
  'vision',
  'none',
] as const;
export type Recipe = (typeof recipes)[number];
export const isRecipe = (name: string): name is Recipe => (recipes as readonly string[]).includes(name);

/** Recipes without trainable parameters for methods that train only their additions. */
const hitsNothing: Partial<Record<TrainingMethod['kind'], readonly Recipe[]>> = {
  lora: ['projector', 'vision'],
  mixture_of_experts: ['projector', 'vision', 'sa_proj', 'sa_qkv'],
};
export const canTrain = (method: TrainingMethod, recipe: Recipe): boolean =>
  !hitsNothing[method.kind]?.includes(recipe);
