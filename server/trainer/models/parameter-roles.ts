import type { ModelInfo, ModelRecipe, ParameterGroup, ParameterInfo, ParameterRole } from '@plumbline/shared/parameter';
import { maxGroupNameLength, maxParameterNameLength } from '@plumbline/shared/limits';
import type { Recipe } from '@plumbline/shared/built-in/recipe';
import type { Parameters } from '../runtime/parameter.js';

/*
 * The role of a parameter, by its Hugging Face name: llama, qwen2, phi3, their mixtures of experts, llava, llava_next,
 * llava_onevision, qwen2_5_vl, idefics3 and smolvlm. It accepts every spelling: the module tree of transformers 4 and
 * 5, the keys of files on disk, lmms-lab's own names, and the wrappers of PEFT, DDP, FSDP and compile. test/golden
 * holds the names of the real classes with their roles.
 */

/** Wrappers whose segment may appear anywhere in a path. */
const anywhere = /(^|\.)(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)(?=\.)/g;
/** Wrappers around the whole model. */
const around = /^(module|base_model\.model)\./;
/**
 * PEFT's spellings of `x.weight`: `x.base_layer.weight`, `x.lora_A.default.weight`, `x.lora_embedding_A.default`, ...
 */
const adapted =
  /\.(base_layer|lora_(A|B|embedding_A|embedding_B|magnitude_vector)(\.[^.]+)?|original_module|modules_to_save\.[^.]+)(?=\.|$)/g;

/** A name without wrappers and adapters: the parameter's path in the plain model. */
function plainName(name: string): string {
  let plain = name.replace(anywhere, '').replace(/^\./, '');
  while (around.test(plain)) plain = plain.replace(around, '');
  return plain.replace(adapted, '');
}

/** The prefix of the language model. Anchored at the start: a vision tower has layers with the same names inside. */
const language =
  /^(?:model\.)?(?:(?:language_model|text_model)\.)?(?:model\.)?(?=layers\.\d|(?:embed_tokens|norm|lm_head|image_newline)(?:\.|$))/;
const projector =
  /^(?:model\.)?(?:multi_modal_projector|mm_projector|vision_resampler|connector|visual\.(?:deepstack_)?merger\w*)\./;
/** CLIP and SigLIP below `vision_tower` (twice in lmms-lab's spelling), SmolVLM's `vision_model`, Qwen's `visual`. */
const vision = /^(?:model\.)?(?:vision_tower\.(?:vision_tower\.)?(?:vision_model\.)?|vision_model\.|visual\.)/;

const isNorm = (word: string): boolean => /norm|^ln_|layrnorm/.test(word);
const blockNames: Readonly<Record<string, string>> = { attn: 'self_attn' };

type Described = { group: string; role: ParameterRole };

export type ModelPart = 'language' | 'projector' | 'vision';

/**
 * The part of a model that a parameter belongs to, and its path inside that part. All spellings of a name have the same.
 * @param name without wrappers
 * @returns null for an unknown name
 */
export function locate(name: string): { part: ModelPart; path: string } | null {
  for (const [part, prefix] of [
    ['projector', projector],
    ['vision', vision],
    ['language', language],
  ] as const) {
    const path = after(prefix, name);
    if (path !== null) return { part, path };
  }
  return null;
}

/**
 * The group and role of a parameter. Groups have one spelling for all spellings of a name: plain fine-tuning and LoRA,
 * under any version of transformers, have the same `drift/<group>`. An unknown name gets part `other` and a group of
 * its own name.
 */
export function roleOf(name: string): Described {
  const plain = plainName(name);
  const place = locate(plain);
  if (place?.part === 'projector') return { group: 'multi_modal_projector', role: { part: 'projector' } };
  if (place?.part === 'vision') return inTower(place.path);
  return (place && inLanguageModel(place.path)) ?? unknown(plain);
}

function after(prefix: RegExp, name: string): string | null {
  const found = prefix.exec(name);
  return found ? name.slice(found[0].length) : null;
}

function inLanguageModel(path: string): Described | null {
  const [first] = path.split('.') as [string];
  if (first === 'layers') return inLayer(path.slice('layers.'.length), 'language', 'language_model');
  const group = `language_model.${first}`;
  if (first === 'embed_tokens') return { group, role: { part: 'embedding' } };
  if (first === 'image_newline') return { group, role: { part: 'embedding', projection: first } };
  if (first === 'lm_head') return { group, role: { part: 'head' } };
  return { group, role: { part: 'language', block: 'norms' } };
}

function inTower(path: string): Described {
  const layer = /^(?:encoder\.)?(?:layers|blocks)\.(?=\d)/.exec(path);
  const inside = layer && inLayer(path.slice(layer[0].length), 'vision', 'vision_tower');
  if (inside) return inside;
  const [first] = path.split('.') as [string];
  const block = /embed/.test(first) ? 'embeddings' : isNorm(first) ? 'norms' : first;
  return { group: tidy(`vision_tower.${block}`), role: { part: 'vision', block } };
}

/** @param path from the layer's number on; null if it ends there */
function inLayer(path: string, part: 'language' | 'vision', root: string): Described | null {
  const found = /^(\d{1,5})\.([^.]+)(?:\.(.+))?$/.exec(path);
  if (!found) return null;
  const [, number, second, rest] = found as unknown as [string, string, string, string | undefined];
  const layer = Number(number);
  const at = `${root}.layers.${layer}`;
  if (isNorm(second)) return { group: `${at}.norms`, role: { part, layer, block: 'norms' } };
  const block = blockNames[second] ?? second;
  const words = withoutLeaf(rest ?? '');
  if (words.length === 0) return { group: tidy(`${at}.${block}`), role: { part, layer, block } };
  const expert = words[0] === 'experts' && /^\d{1,6}$/.test(words[1] ?? '') ? Number(words[1]) : undefined;
  // A tensor of all experts is a projection like any other. Most mixtures of experts call the router `gate`.
  if (expert === undefined && words[0] === 'experts' && words.length > 1) words.shift();
  const last = words.at(-1)!;
  const projection = block === 'mlp' && words.length === 1 && last === 'gate' ? 'router' : last;
  const group = [at, block, ...words.slice(0, -1), projection].join('.');
  return { group: tidy(group), role: { part, layer, block, projection, ...(expert !== undefined && { expert }) } };
}

/** The segments of a path below a block without the tensor's own name. */
function withoutLeaf(rest: string): string[] {
  const words = rest.split('.').filter((word) => word !== '');
  return /^(weight|bias)$/.test(words.at(-1) ?? '') ? words.slice(0, -1) : words;
}

function unknown(plain: string): Described {
  return { group: tidy(plain.replace(/\.(weight|bias)$/, '')), role: { part: 'other' } };
}

/** A valid group name: other characters replaced, truncated at the front. */
const tidy = (name: string): string => name.replace(/[^A-Za-z0-9_.-]/g, '_').slice(-maxGroupNameLength) || 'unnamed';

const queryKeyValue = ['q_proj', 'k_proj', 'v_proj', 'qkv_proj'];
const inDecoder = (block: string, projections?: readonly string[]) => (role: ParameterRole) =>
  role.part === 'language' &&
  typeof role.layer === 'number' &&
  role.block === block &&
  (!projections || projections.includes(role.projection ?? ''));
/** The recipes of arXiv 2510.08564, where `full` is the full language model, and `everything`, `vision` and `none`. */
const recipeTable: Record<Recipe, { label: string; trains: (role: ParameterRole) => boolean }> = {
  full: { label: 'Full', trains: ({ part }) => ['language', 'embedding', 'head'].includes(part) },
  everything: { label: 'Everything', trains: () => true },
  sa_proj: { label: 'SA Proj', trains: inDecoder('self_attn', [...queryKeyValue, 'o_proj']) },
  sa_qkv: { label: 'SA QKV', trains: inDecoder('self_attn', queryKeyValue) },
  mlp: { label: 'MLP', trains: inDecoder('mlp') },
  mlp_gate_up: { label: 'MLP Gate & Up', trains: inDecoder('mlp', ['gate_proj', 'up_proj', 'gate_up_proj']) },
  mlp_down: { label: 'MLP Down', trains: inDecoder('mlp', ['down_proj']) },
  projector: { label: 'Projector', trains: ({ part }) => part === 'projector' },
  vision: { label: 'Vision', trains: ({ part }) => part === 'vision' },
  none: { label: 'None', trains: () => false },
};

/** The recipes that select something in a model of these groups, and `none`. */
export function recipesOf(groups: readonly ParameterGroup[]): ModelRecipe[] {
  return Object.entries(recipeTable).flatMap(([name, { label, trains }]) => {
    const hit = groups.filter(trains).map((group) => group.name);
    return hit.length > 0 || name === 'none' ? [{ name, label, groups: hit }] : [];
  });
}

export interface DescribeOptions {
  /** The output head is the token embedding: if both are listed, they are frozen together. */
  tiedHead?: boolean;
  /** The vision tower is one group instead of one per projection: fewer series when it is never trained. */
  wholeVision?: boolean;
}

/** Parameters for `describeModel`. */
export const parameterInfos = (parameters: Parameters): Omit<ParameterInfo, 'group'>[] =>
  [...parameters].map(({ name, shape, size }) => ({
    ...{ name, shape: [...shape], size },
    ...(parameters.fixed.has(name) && { fixed: true }),
  }));

/**
 * The description of a model in `run_started`.
 * @throws Error for a name that no event can carry
 */
export function describeModel(
  name: string,
  parameters: readonly Omit<ParameterInfo, 'group'>[],
  { tiedHead = false, wholeVision = false }: DescribeOptions = {},
): ModelInfo {
  const groups = new Map<string, ParameterGroup>();
  const place = (path: string): Described => {
    const described = roleOf(path);
    if (wholeVision && described.role.part === 'vision') return { group: 'vision_tower', role: { part: 'vision' } };
    return tiedHead && described.role.part === 'head' ? roleOf('embed_tokens.weight') : described;
  };
  const infos = parameters.map((parameter): ParameterInfo => {
    if (parameter.name.length > maxParameterNameLength)
      throw new Error(`A parameter's name has at most ${maxParameterNameLength} characters: ${parameter.name}`);
    const { group, role } = place(parameter.name);
    if (!groups.has(group)) groups.set(group, { name: group, ...role });
    return { ...parameter, group };
  });
  const all = [...groups.values()];
  return { name, groups: all, parameters: infos, recipes: recipesOf(all) };
}
