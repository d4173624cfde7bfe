import { locate, type ModelPart } from '../models/parameter-roles.js';

/*
 * The names of parameters on disk and in our code. Our code uses the module tree of transformers 5. `locate` knows every
 * spelling: that tree, the one of transformers 4, the files of both, and lmms-lab's own names. The tables here only say
 * under which prefix a family keeps each part, in the tree and in the files that transformers writes and reads.
 */

export const families = [
  'llama',
  'qwen2',
  'llava',
  'llava_next',
  'llava_onevision',
  'qwen2_5_vl',
  'smolvlm',
  'idefics3',
] as const;
/** The `model_type` of a config.json whose names are known. */
export type Family = (typeof families)[number];

/** The prefix of each part. Head and `image_newline` belong to the language model and stand elsewhere. */
type Prefixes = Partial<Record<ModelPart | 'lm_head' | 'image_newline', string>>;
interface Layout {
  tree: Prefixes;
  disk: Prefixes;
}

const textOnly: Prefixes = { language: 'model.', lm_head: '' };
const llava: Layout = {
  tree: {
    language: 'model.language_model.',
    lm_head: '',
    image_newline: 'model.',
    vision: 'model.vision_tower.',
    projector: 'model.multi_modal_projector.',
  },
  disk: {
    language: 'language_model.model.',
    lm_head: 'language_model.',
    image_newline: '',
    vision: 'vision_tower.vision_model.',
    projector: 'multi_modal_projector.',
  },
};
const idefics3: Prefixes = {
  language: 'model.text_model.',
  lm_head: '',
  vision: 'model.vision_model.',
  projector: 'model.connector.',
};
const layouts: Record<Family, Layout> = {
  llama: { tree: textOnly, disk: textOnly },
  qwen2: { tree: textOnly, disk: textOnly },
  llava,
  llava_next: llava,
  llava_onevision: llava,
  qwen2_5_vl: {
    tree: {
      language: 'model.language_model.',
      lm_head: '',
      vision: 'model.visual.',
      projector: 'model.visual.merger.',
    },
    disk: { language: 'model.', lm_head: '', vision: 'visual.', projector: 'visual.merger.' },
  },
  smolvlm: { tree: idefics3, disk: idefics3 },
  idefics3: { tree: idefics3, disk: idefics3 },
};

/** The linear layers of lmms-lab's projector, by their places in an nn.Sequential. */
const sequential: Readonly<Record<string, string>> = { '0': 'linear_1', '2': 'linear_2' };

/** Buffers that older versions of transformers stored: computed, not trained. */
const buffer = /(^|\.)(rotary_emb\.inv_freq|embeddings\.position_ids)$/;

/** Whether a stored tensor is no weight, and is left out. */
export const isBuffer = (name: string): boolean => buffer.test(name);

/**
 * The name in the module tree of transformers 5.
 * @param name in any spelling
 * @returns null when the family has no such part
 */
export const treeName = (family: Family, name: string): string | null => spell(layouts[family].tree, name);

/**
 * The name in the files that transformers writes: what every version of it reads.
 * @param name in any spelling
 * @returns null when the family has no such part
 */
export const diskName = (family: Family, name: string): string | null => spell(layouts[family].disk, name);

/** The names of a head and the token embedding that it may be tied to, in the module tree. */
export const tiedNames = (family: Family): { head: string; embedding: string } => ({
  head: treeName(family, 'lm_head.weight')!,
  embedding: treeName(family, 'embed_tokens.weight')!,
});

function spell(prefixes: Prefixes, name: string): string | null {
  const place = locate(name);
  if (!place) return null;
  const { part, path } = place;
  const [first = ''] = path.split('.');
  const prefix = prefixes[part === 'language' && (first === 'lm_head' || first === 'image_newline') ? first : part];
  if (prefix === undefined) return null;
  const plain = part === 'projector' && Object.hasOwn(sequential, first) ? sequential[first]! : first;
  return prefix + plain + path.slice(first.length);
}
