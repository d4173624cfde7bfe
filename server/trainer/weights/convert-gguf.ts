import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { tokenizerFromGguf } from '../text/gguf-tokenizer.js';
import type { TokenizerFiles } from '../text/tokenizer.js';
import { DamagedFileError } from './damaged-file-error.js';
import type { GgufFile } from './gguf.js';
import { writeWeights, type TensorSource } from './write-weights.js';
import { valuesOf } from './shape.js';

const Count = z.union([z.number(), z.bigint()]).transform(Number).pipe(z.number().int().positive());
const Id = z.union([z.number(), z.bigint()]).transform(Number).pipe(z.number().int().nonnegative());

/** The metadata of a Llama. Keys that change what the model computes and that are not known here are refused. */
const Metadata = z.object({
  'general.architecture': z.literal('llama'),
  'llama.context_length': Count,
  'llama.embedding_length': Count,
  'llama.feed_forward_length': Count,
  'llama.block_count': Count,
  'llama.attention.head_count': Count,
  'llama.attention.head_count_kv': Count.optional(),
  'llama.attention.key_length': Count.optional(),
  'llama.attention.layer_norm_rms_epsilon': z.number(),
  'llama.rope.dimension_count': Count.optional(),
  'llama.rope.freq_base': z.number().default(10_000),
  'llama.rope.scaling.type': z.literal('none').optional(),
  'llama.rope.scale_linear': z.literal(1).optional(),
  'llama.expert_count': z.literal(0).optional(),
  'tokenizer.ggml.bos_token_id': Id.optional(),
  'tokenizer.ggml.eos_token_id': Id.optional(),
  'tokenizer.ggml.padding_token_id': Id.optional(),
});
type Metadata = z.infer<typeof Metadata>;

/** Names in GGUF outside of the layers, and below `blk.N.` */
const outer: Readonly<Record<string, string>> = {
  token_embd: 'model.embed_tokens',
  output_norm: 'model.norm',
  output: 'lm_head',
};
const inLayer: Readonly<Record<string, string>> = {
  attn_norm: 'input_layernorm',
  attn_q: 'self_attn.q_proj',
  attn_k: 'self_attn.k_proj',
  attn_v: 'self_attn.v_proj',
  attn_output: 'self_attn.o_proj',
  ffn_norm: 'post_attention_layernorm',
  ffn_gate: 'mlp.gate_proj',
  ffn_up: 'mlp.up_proj',
  ffn_down: 'mlp.down_proj',
};

/**
 * Writes a Llama from a GGUF file in the Hugging Face layout: configuration, tokenizer with its template, weights.
 * The weights are F32: what Q8_0 and Q4_1 stand for has more digits than BF16 and F16 hold. They equal, to the bit, what
 * transformers makes of the file.
 * @param folder exists
 * @param signal ends the conversion between tensors, with its reason
 * @throws DamagedFileError when the file is not of a Llama that this converts
 */
export async function convertGguf(file: GgufFile, folder: string, signal?: AbortSignal): Promise<void> {
  const parsed = Metadata.safeParse(file.metadata);
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw new DamagedFileError(
      `${file.path} cannot be converted: ${path.join('.')}: ${message}. Plain Llama models are; take the model’s safetensors.`,
    );
  }
  const metadata = parsed.data;
  const tensors = [...file.tensors].map(([name, { shape }]): TensorSource => {
    const treeName = translate(name);
    if (treeName === null)
      throw new DamagedFileError(
        `${file.path} cannot be converted: it has ${name}, which no plain Llama has. Take the model’s safetensors.`,
      );
    const heads = rotaryHeads(name, metadata);
    if (heads !== null && shape[0]! % (2 * heads) !== 0)
      throw new DamagedFileError(
        `${file.path} is damaged: ${name} has ${shape[0]} rows for ${heads} heads. Download the file again.`,
      );
    return {
      name: treeName,
      shape,
      read: async () => {
        signal?.throwIfAborted();
        return heads === null ? file.read(name) : inHalves(await file.read(name), heads, shape);
      },
    };
  });
  const isTied = !file.tensors.has('output.weight');
  const vocabulary = file.tensors.get('token_embd.weight')?.shape[0];
  if (vocabulary === undefined) throw new DamagedFileError(`${file.path} has no tensor token_embd.weight.`);
  const tokenizer = readTokenizer(file);
  await writeJson(folder, 'tokenizer.json', tokenizer.tokenizer);
  await writeJson(folder, 'tokenizer_config.json', tokenizer.config);
  await writeJson(folder, 'config.json', configuration(metadata, vocabulary, isTied));
  await writeJson(folder, 'generation_config.json', tokenIds(metadata));
  await writeWeights(folder, tensors);
}

function readTokenizer(file: GgufFile): TokenizerFiles {
  try {
    return tokenizerFromGguf(file.metadata, file.path);
  } catch (error) {
    throw new DamagedFileError((error as Error).message, { cause: error });
  }
}

function configuration(metadata: Metadata, vocabulary: number, isTied: boolean): Record<string, unknown> {
  const width = metadata['llama.embedding_length'];
  const heads = metadata['llama.attention.head_count'];
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: width,
    intermediate_size: metadata['llama.feed_forward_length'],
    num_hidden_layers: metadata['llama.block_count'],
    num_attention_heads: heads,
    num_key_value_heads: metadata['llama.attention.head_count_kv'] ?? heads,
    head_dim: metadata['llama.attention.key_length'] ?? metadata['llama.rope.dimension_count'] ?? width / heads,
    hidden_act: 'silu',
    vocab_size: vocabulary,
    max_position_embeddings: metadata['llama.context_length'],
    rms_norm_eps: shortest(metadata['llama.attention.layer_norm_rms_epsilon']),
    rope_theta: shortest(metadata['llama.rope.freq_base']),
    attention_bias: false,
    mlp_bias: false,
    tie_word_embeddings: isTied,
    torch_dtype: 'float32',
    ...tokenIds(metadata),
  };
}

const tokenIds = (metadata: Metadata): Record<string, number | undefined> => ({
  bos_token_id: metadata['tokenizer.ggml.bos_token_id'],
  eos_token_id: metadata['tokenizer.ggml.eos_token_id'],
  pad_token_id: metadata['tokenizer.ggml.padding_token_id'],
});

/** @returns null for a name that a plain Llama does not have */
function translate(name: string): string | null {
  const found = /^(?:blk\.(\d+)\.)?([a-z_]+)\.weight$/.exec(name);
  if (!found) return null;
  const [, layer, word] = found as unknown as [string, string | undefined, string];
  const table = layer === undefined ? outer : inLayer;
  if (!Object.hasOwn(table, word)) return null;
  return `${layer === undefined ? '' : `model.layers.${layer}.`}${table[word]!}.weight`;
}

/** The heads of a projection whose rows llama.cpp has interleaved for its rotary embedding; null for others. */
function rotaryHeads(name: string, metadata: Metadata): number | null {
  const heads = metadata['llama.attention.head_count'];
  if (name.endsWith('.attn_q.weight')) return heads;
  if (name.endsWith('.attn_k.weight')) return metadata['llama.attention.head_count_kv'] ?? heads;
  return null;
}

/**
 * Puts the rows of q_proj and k_proj back in Hugging Face's order, in place: within a head, GGUF has the two halves that
 * turn together side by side (0, d/2, 1, d/2 + 1, ...), Hugging Face one after the other.
 */
function inHalves(values: Float32Array, heads: number, shape: readonly number[]): Float32Array {
  const rowSize = valuesOf(shape.slice(1));
  const half = shape[0]! / heads / 2;
  const headSize = 2 * half * rowSize;
  for (let start = 0; start < values.length; start += headSize) {
    const head = values.slice(start, start + headSize);
    for (let row = 0; row < 2 * half; row++) {
      const from = ((row % half) * 2 + Math.floor(row / half)) * rowSize;
      values.set(head.subarray(from, from + rowSize), start + row * rowSize);
    }
  }
  return values;
}

/** The shortest decimal number that is the same in F32: 1e-5 where GGUF has 9.999999747378752e-6. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const short = Number(value.toPrecision(digits));
    if (Math.fround(short) === Math.fround(value)) return short;
  }
  return value;
}

const writeJson = (folder: string, name: string, value: unknown): Promise<void> =>
  writeFile(join(folder, name), JSON.stringify(value, null, 2) + '\n');
