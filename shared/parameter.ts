import { z } from 'zod';

/** A trainable tensor of the model, by its Hugging Face path, e.g. `language_model.layers.3.self_attn.q_proj.weight`. */
export const ParameterInfo = z.object({
  name: z.string().min(1).max(200),
  shape: z.array(z.number().int().nonnegative()).max(8),
  /** Number of scalars. */
  size: z.number().int().nonnegative(),
  group: z.string().min(1).max(200),
  /** Never trained in this run, whatever is selected: its method keeps it (a LoRA run's weights below the adapters). */
  fixed: z.boolean().optional(),
});
export type ParameterInfo = z.infer<typeof ParameterInfo>;

/** The recipes of arXiv 2510.08564 (what is tuned), the projector alone, and `none`, which freezes everything. */
export const recipes = ['full', 'sa_proj', 'mlp', 'mlp_gate_up', 'mlp_down', 'projector', 'none'] as const;
export const Recipe = z.enum(recipes);
export type Recipe = z.infer<typeof Recipe>;

/** Projections of a decoder layer, in the order in which the freeze map shows them. */
export const layerProjections = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;
export type LayerProjection = (typeof layerProjections)[number];

const inLayer = (path: string): RegExp => new RegExp(`^language_model\\.layers\\.\\d+\\.(${path})$`);
/** Projections of the MLP, or of one of several in a mixture of experts. */
const mlp = (projections: string): string => `mlp\\.(experts\\.\\d+\\.)?(${projections})_proj`;

const recipeGroups: Record<Recipe, RegExp> = {
  full: /^language_model\./,
  sa_proj: inLayer('self_attn\\.(q|k|v|o)_proj'),
  mlp: inLayer(`${mlp('gate|up|down')}|mlp\\.router`),
  mlp_gate_up: inLayer(mlp('gate|up')),
  mlp_down: inLayer(mlp('down')),
  projector: /^multi_modal_projector$/,
  none: /^(?!)/,
};

/**
 * The group a parameter belongs to: the smallest unit that is frozen, drawn and measured as one.
 * A decoder projection is its own group (`language_model.layers.0.mlp.up_proj`), with the adapters it may have; so is
 * each expert's (`language_model.layers.0.mlp.experts.1.up_proj`); the norms of a layer are one
 * (`language_model.layers.0.norms`); `vision_tower` and `multi_modal_projector` are one each.
 * The language head counts with the language model (`language_model.lm_head`).
 */
export function parameterGroup(name: string): string {
  const projection = /^(language_model\.layers\.\d+\.(?:self_attn|mlp(?:\.experts\.\d+)?)\.\w+_proj)\./.exec(name);
  if (projection) return projection[1]!;
  const norms = /^(language_model\.layers\.\d+)\.\w*layernorm\./.exec(name);
  if (norms) return `${norms[1]}.norms`;
  if (name.startsWith('lm_head.')) return 'language_model.lm_head';
  if (name.startsWith('language_model.')) return name.replace(/\.(weight|bias)$/, '');
  return name.split('.')[0]!;
}

/** What is to be trained from now on; everything else is frozen. */
export const TrainableSelection = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('recipe'), recipe: Recipe }),
  z.object({ kind: z.literal('groups'), groups: z.array(z.string().min(1).max(200)).max(2000) }),
  /** Comma-separated name patterns; `*` stands for any run of characters, e.g. `language_model.layers.*.mlp.*`. */
  z.object({ kind: z.literal('pattern'), pattern: z.string().min(1).max(200) }),
]);
export type TrainableSelection = z.infer<typeof TrainableSelection>;

export type ResolvedSelection =
  { ok: true; trainable: string[]; trainableSize: number; totalSize: number } | { ok: false; reason: string };

function matchesPattern(name: string, pattern: string): boolean {
  // Walks the literal pieces between stars from left to right: linear, so no pattern can make it slow.
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

/**
 * The parameter names that a selection makes trainable, in the order of `parameters`.
 * The browser's preview and the trainer both call this, so what is shown is what is applied.
 * A group or pattern that hits nothing that can be trained is refused; only the recipe `none` and an empty list of groups
 * select nothing.
 */
export function resolveSelection(
  selection: TrainableSelection,
  parameters: readonly ParameterInfo[],
): ResolvedSelection {
  const totalSize = parameters.reduce((sum, parameter) => sum + parameter.size, 0);
  const free = parameters.filter(({ fixed }) => !fixed);
  let hits: ParameterInfo[];
  switch (selection.kind) {
    case 'recipe':
      hits = free.filter((parameter) => recipeGroups[selection.recipe].test(parameter.group));
      if (hits.length === 0 && selection.recipe !== 'none')
        return { ok: false, reason: `The recipe ${selection.recipe} hits no parameter that this run can train.` };
      break;
    case 'groups': {
      const known = new Set(parameters.map((parameter) => parameter.group));
      const unknown = selection.groups.filter((group) => !known.has(group));
      if (unknown.length > 0) return { ok: false, reason: `This model has no parameter group ${quoted(unknown)}.` };
      const trainable = new Set(free.map((parameter) => parameter.group));
      const fixed = selection.groups.filter((group) => !trainable.has(group));
      if (fixed.length > 0) return { ok: false, reason: keeps(fixed) };
      const wanted = new Set(selection.groups);
      hits = free.filter((parameter) => wanted.has(parameter.group));
      break;
    }
    case 'pattern': {
      const patterns = selection.pattern.split(',').map((pattern) => pattern.trim());
      const unmatched = (among: readonly ParameterInfo[]): string[] =>
        patterns.filter((pattern) => !among.some(({ name }) => matchesPattern(name, pattern)));
      const idle = unmatched(parameters);
      if (idle.length > 0) return { ok: false, reason: `The pattern ${quoted(idle)} matches no parameter name.` };
      const fixed = unmatched(free);
      if (fixed.length > 0) return { ok: false, reason: keeps(fixed) };
      hits = free.filter(({ name }) => patterns.some((pattern) => matchesPattern(name, pattern)));
      break;
    }
  }
  return {
    ok: true,
    trainable: hits.map((parameter) => parameter.name),
    trainableSize: hits.reduce((sum, parameter) => sum + parameter.size, 0),
    totalSize,
  };
}

const keeps = (words: readonly string[]): string =>
  `This run's method keeps ${quoted(words)} as it is: it cannot be trained.`;

/** The first few of a list, so that a reason stays short however much was wrong. */
function quoted(words: readonly string[]): string {
  const shown = words
    .slice(0, 3)
    .map((word) => `"${word}"`)
    .join(', ');
  return words.length > 3 ? `${shown} and ${words.length - 3} more` : shown;
}

/** A selection in a few words, for logs, timelines and marks on charts. */
export function describeSelection(selection: TrainableSelection): string {
  switch (selection.kind) {
    case 'recipe':
      return selection.recipe;
    case 'groups':
      return `${selection.groups.length} groups`;
    case 'pattern':
      return selection.pattern;
  }
}
