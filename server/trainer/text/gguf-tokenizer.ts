import { z } from 'zod';
import { gpt2Split, splitBy } from './tokenizer-components.js';
import type { TokenizerFiles } from './tokenizer.js';

/** Kinds of tokens in `tokenizer.ggml.token_type`, as llama.cpp numbers them. */
const tokenType = { control: 3, userDefined: 4 } as const;

const Id = z.union([z.number(), z.bigint()]).transform(Number).pipe(z.number().int().nonnegative());
/** The keys of a GGUF's metadata that describe its tokenizer. */
const Metadata = z.object({
  'tokenizer.ggml.model': z.enum(
    ['gpt2', 'llama'],
    'only byte-level BPE ("gpt2") and SentencePiece ("llama") are read',
  ),
  'tokenizer.ggml.pre': z.string().default('default'),
  'tokenizer.ggml.tokens': z.array(z.string()).min(1),
  'tokenizer.ggml.scores': z.array(z.number()).optional(),
  'tokenizer.ggml.token_type': z.array(z.number()).optional(),
  'tokenizer.ggml.merges': z.array(z.string().regex(/^\S+ \S+$/s)).optional(),
  'tokenizer.ggml.bos_token_id': Id.optional(),
  'tokenizer.ggml.eos_token_id': Id.optional(),
  'tokenizer.ggml.unknown_token_id': Id.optional(),
  'tokenizer.ggml.padding_token_id': Id.optional(),
  'tokenizer.ggml.add_bos_token': z.boolean().optional(),
  'tokenizer.ggml.add_eos_token': z.boolean().optional(),
  'tokenizer.ggml.add_space_prefix': z.boolean().optional(),
  'tokenizer.chat_template': z.string().optional(),
});
type Metadata = z.infer<typeof Metadata>;

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const llama3Split = `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

/**
 * How a byte-level vocabulary treats text before merging, by `tokenizer.ggml.pre`, as in the model's own
 * `tokenizer.json`.
 */
interface BeforeMerging {
  /** Regular expressions that split the text, applied one after the other. */
  splits: readonly string[];
  /** A Unicode normal form that the text is brought into first. */
  normalizer?: 'NFC';
  /** Whether a word that is itself a token is taken whole. */
  ignoreMerges?: true;
}
const gpt2: BeforeMerging = { splits: [gpt2Split] };
const llama3: BeforeMerging = { splits: [llama3Split], ignoreMerges: true };
const beforeMerging: Readonly<Record<string, BeforeMerging>> = {
  default: gpt2,
  'gpt-2': gpt2,
  // Each digit by itself, then as in GPT-2.
  smollm: { splits: ['\\p{N}', gpt2Split] },
  'llama-bpe': llama3,
  'llama-v3': llama3,
  llama3,
  qwen2: { splits: [llama3Split.replace('{1,3}', '')], normalizer: 'NFC' },
};

/**
 * Builds the contents of `tokenizer.json` and `tokenizer_config.json` from a GGUF's metadata, with the ids of the GGUF.
 * @param metadata `{'tokenizer.ggml.tokens': string[], …}`; other keys are ignored
 * @param source the file's name, for errors
 * @throws Error naming the key when the metadata describe no tokenizer, or one that is not supported
 */
export function tokenizerFromGguf(metadata: unknown, source: string): TokenizerFiles {
  const result = Metadata.safeParse(metadata);
  if (!result.success) {
    const { path, message } = result.error.issues[0]!;
    throw new Error(`${source}: ${path.join('.')}: ${message}. Use a GGUF of a Llama, SmolLM or Qwen2 model.`);
  }
  const file = result.data;
  const tokens = file['tokenizer.ggml.tokens'];
  const types = file['tokenizer.ggml.token_type'] ?? [];
  const added_tokens = tokens.flatMap((content, id) =>
    types[id] === tokenType.control || types[id] === tokenType.userDefined
      ? [{ id, content, ...plain, special: types[id] === tokenType.control }]
      : [],
  );
  const named = (key: 'bos' | 'eos' | 'unknown' | 'padding'): string | undefined => {
    const id = file[`tokenizer.ggml.${key}_token_id`];
    if (id === undefined) return undefined;
    if (tokens[id] === undefined)
      throw new Error(`${source}: tokenizer.ggml.${key}_token_id is ${id}, and there are ${tokens.length} tokens.`);
    return tokens[id];
  };
  const config = {
    bos_token: named('bos'),
    eos_token: named('eos'),
    unk_token: named('unknown'),
    pad_token: named('padding'),
    chat_template: file['tokenizer.chat_template'],
    clean_up_tokenization_spaces: false,
    tokenizer_class: 'PreTrainedTokenizerFast',
  };
  const parts = file['tokenizer.ggml.model'] === 'gpt2' ? byteLevel(file, source) : sentencePiece(file, source);
  const tokenizer = {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens,
    normalizer: null,
    post_processor: around(file),
    ...parts,
  };
  return { tokenizer, config };
}

const plain = { single_word: false, lstrip: false, rstrip: false, normalized: false };

function byteLevel(file: Metadata, source: string): object {
  const pre = file['tokenizer.ggml.pre'];
  const before = Object.hasOwn(beforeMerging, pre) ? beforeMerging[pre] : undefined;
  if (!before)
    throw new Error(
      `${source}: the text of "${pre}" is split by a rule that is not known here. Known are ${Object.keys(beforeMerging).join(', ')}. ` +
        "Use the model's own folder with a tokenizer.json.",
    );
  const merges = file['tokenizer.ggml.merges'];
  if (!merges) throw new Error(`${source}: tokenizer.ggml.merges is missing. Get the file again.`);
  const bytes = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true };
  return {
    normalizer: before.normalizer ? { type: before.normalizer } : null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [...before.splits.map(splitBy), { ...bytes, use_regex: false }] },
    decoder: { ...bytes, add_prefix_space: true, use_regex: true },
    model: bpe(file, {
      ...{ fuse_unk: false, byte_fallback: false, ignore_merges: before.ignoreMerges ?? false },
      merges: merges.map((merge) => merge.split(' ')),
    }),
  };
}

function sentencePiece(file: Metadata, source: string): object {
  const spacePrefix = file['tokenizer.ggml.add_space_prefix'] ?? true;
  const given = file['tokenizer.ggml.merges'];
  const merges = given ? given.map((merge) => merge.split(' ')) : mergesByScore(file, source);
  const decoders: object[] = [
    { type: 'Replace', pattern: { String: '▁' }, content: ' ' },
    { type: 'ByteFallback' },
    { type: 'Fuse' },
  ];
  if (spacePrefix) decoders.push({ type: 'Strip', content: ' ', start: 1, stop: 0 });
  return {
    pre_tokenizer: {
      type: 'Metaspace',
      replacement: '▁',
      prepend_scheme: spacePrefix ? 'first' : 'never',
      split: false,
    },
    decoder: { type: 'Sequence', decoders },
    model: bpe(file, { fuse_unk: true, byte_fallback: true, ignore_merges: false, merges }),
  };
}

interface Merging {
  merges: string[][];
  fuse_unk: boolean;
  byte_fallback: boolean;
  ignore_merges: boolean;
}
const bpe = (file: Metadata, merging: Merging): object => ({
  type: 'BPE',
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: '',
  end_of_word_suffix: '',
  vocab: Object.fromEntries(file['tokenizer.ggml.tokens'].map((token, id) => [token, id])),
  ...merging,
});

/**
 * The merges that a SentencePiece vocabulary implies: every token that is two others joined, best score first, then
 * the one with the longer left part.
 */
function mergesByScore(file: Metadata, source: string): string[][] {
  const tokens = file['tokenizer.ggml.tokens'];
  const scores = file['tokenizer.ggml.scores'];
  if (scores?.length !== tokens.length)
    throw new Error(`${source}: tokenizer.ggml.scores has not one score for each token. Get the file again.`);
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const merges = tokens.flatMap((token, id) => {
    const points = Array.from(token);
    return points
      .slice(1)
      .map((_, index) => [points.slice(0, index + 1).join(''), points.slice(index + 1).join('')] as const)
      .filter(([left, right]) => ids.has(left) && ids.has(right))
      .map(([left, right]) => ({ left, right, score: scores[id]!, leftId: ids.get(left)!, rightId: ids.get(right)! }))
      .sort((a, b) => a.leftId - b.leftId || a.rightId - b.rightId);
  });
  const length = (text: string): number => Array.from(text).length;
  return merges
    .sort((a, b) => b.score - a.score || length(b.left) - length(a.left) || length(b.right) - length(a.right))
    .map(({ left, right }) => [left, right]);
}

/** Files without the key, as llama.cpp reads them. */
const addsBos = (file: Metadata): boolean =>
  file['tokenizer.ggml.model'] === 'llama' || beforeMerging[file['tokenizer.ggml.pre']] === llama3;

/** What the tokenizer puts around a text. */
function around(file: Metadata): object {
  const tokens = file['tokenizer.ggml.tokens'];
  const [bos, eos] = [file['tokenizer.ggml.bos_token_id'], file['tokenizer.ggml.eos_token_id']];
  const addBos = file['tokenizer.ggml.add_bos_token'] ?? addsBos(file);
  const addEos = file['tokenizer.ggml.add_eos_token'] ?? false;
  const special = (id: number): object => ({ SpecialToken: { id: tokens[id]!, type_id: 0 } });
  const before = addBos && bos !== undefined ? [bos] : [];
  const after = addEos && eos !== undefined ? [eos] : [];
  return {
    type: 'TemplateProcessing',
    single: [...before.map(special), { Sequence: { id: 'A', type_id: 0 } }, ...after.map(special)],
    pair: [...before.map(special), { Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 1 } }],
    special_tokens: Object.fromEntries(
      [...before, ...after].map((id) => [tokens[id]!, { id: tokens[id]!, ids: [id], tokens: [tokens[id]!] }]),
    ),
  };
}
