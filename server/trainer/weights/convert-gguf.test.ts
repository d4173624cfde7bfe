import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { Tokenizer } from '../text/tokenizer.js';
import { convertGguf } from './convert-gguf.js';
import { GgufFile } from './gguf.js';
import { WeightFiles } from './weight-files.js';

/** Made by make-gguf.py there, with the values that the Python package gguf reads. */
const fixtures = fileURLToPath(new URL('fixtures/gguf/', import.meta.url));
const whole = readFileSync(join(fixtures, 'llama.gguf'));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-gguf-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function open(path: string): Promise<GgufFile> {
  const file = await GgufFile.open(path);
  onTestFinished(() => file.close());
  return file;
}
async function openWeights(path: string): Promise<WeightFiles> {
  const files = await WeightFiles.open(path);
  onTestFinished(() => files.close());
  return files;
}
const openBytes = (bytes: Uint8Array): Promise<GgufFile> => {
  const path = join(folder, 'damaged.gguf');
  writeFileSync(path, bytes);
  return open(path);
};
const json = (name: string): unknown => JSON.parse(readFileSync(join(folder, name), 'utf8'));

describe.each([
  ['llama.gguf', ['F32', 'F16', 'BF16', 'Q8_0', 'Q4_0', 'Q4_1'], 12],
  ['tied.gguf', ['F32', 'Q8_0'], 2],
])('%s', (name, types, count) => {
  it(`becomes the tensors of the Python package gguf, bit for bit: ${types.join(', ')}`, async () => {
    await convertGguf(await open(join(fixtures, name)), folder);
    const [converted, expected] = [await openWeights(folder), await openWeights(fixtures)];
    expect(converted.tensors.size).toBe(count);
    for (const [tensor, { dtype, shape }] of converted.tensors) {
      expect([tensor, dtype, shape]).toEqual([tensor, 'F32', expected.tensors.get(`${name}/${tensor}`)?.shape]);
      const [ours, theirs] = [await converted.read(tensor), await expected.read(`${name}/${tensor}`)];
      expect(Buffer.from(ours.buffer).equals(Buffer.from(theirs.buffer)), tensor).toBe(true);
    }
  });
});

it('has a configuration of transformers, tied where the file has no head', async () => {
  await convertGguf(await open(join(fixtures, 'llama.gguf')), folder);
  expect(json('config.json')).toEqual({
    ...{ architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_act: 'silu', torch_dtype: 'float32' },
    ...{ hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, vocab_size: 40, max_position_embeddings: 128 },
    ...{ num_attention_heads: 4, num_key_value_heads: 2, head_dim: 8, rms_norm_eps: 1e-5, rope_theta: 100_000 },
    ...{ attention_bias: false, mlp_bias: false, tie_word_embeddings: false, bos_token_id: 1, eos_token_id: 2 },
  });
  expect(json('generation_config.json')).toEqual({ bos_token_id: 1, eos_token_id: 2 });
  await convertGguf(await open(join(fixtures, 'tied.gguf')), folder);
  expect(json('config.json')).toMatchObject({ tie_word_embeddings: true, vocab_size: 40 });
});

it('has the tokenizer of its metadata', async () => {
  await convertGguf(await open(join(fixtures, 'llama.gguf')), folder);
  const tokenizer = await Tokenizer.fromFolder(folder);
  expect([tokenizer.size, tokenizer.eosToken]).toEqual([40, '<|im_end|>']);
  expect(tokenizer.decode(tokenizer.encode('"#<|im_end|>'))).toBe('"#<|im_end|>');
});

describe('a damaged file is refused', () => {
  const at = (text: string): number => whole.indexOf(text) + text.length;
  /** The file with bytes of its own after a text. */
  const changed = (text: string, change: (bytes: Buffer, at: number) => void): Buffer => {
    const bytes = Buffer.from(whole);
    change(bytes, at(text));
    return bytes;
  };
  // Behind the name of a matrix: the number of axes (4 bytes), two lengths (8 each), the type (4), the offset (8).
  const typed = (type: number): Buffer =>
    changed('blk.0.attn_v.weight', (bytes, place) => bytes.writeUInt32LE(type, place + 20));

  it.each<[string, Uint8Array, RegExp]>([
    ['empty', new Uint8Array(), /is no GGUF file, or damaged/],
    ['of another kind', Buffer.from('PK\x03\x04 a zip archive'), /is no GGUF file, or damaged: .*magic/],
    ['cut in its metadata', whole.subarray(0, 300), /is cut short: it ends within its list of tensors/],
    ['cut in its list of tensors', whole.subarray(0, at('blk.0.attn_v.weight')), /ends within its list/],
    ['cut in its data', whole.subarray(0, -40), /is cut short: it has \d+ bytes, and output\.weight ends at byte \d+/],
    [
      'with a tensor beyond its end',
      changed('output_norm.weight', (bytes, place) => bytes.writeBigUInt64LE(1n << 40n, place + 16)),
      /output_norm\.weight ends at byte \d+/,
    ],
    [
      'in K-quants',
      typed(12),
      /blk\.0\.attn_v\.weight in .* has format Q4_K; F32, F16, BF16, Q8_0, Q4_0, Q4_1 are read/,
    ],
    ['of an unknown format', typed(999), /has format number 999/],
    [
      'with rows of half a block',
      changed('blk.0.attn_v.weight', (bytes, place) => bytes.writeBigUInt64LE(16n, place + 4)),
      /is damaged: blk\.0\.attn_v\.weight has rows of 16 values, in blocks of 32/,
    ],
  ])('%s', async (_, bytes, message) => {
    const refused = openBytes(bytes);
    await expect(refused).rejects.toThrow(message);
    await expect(refused).rejects.toMatchObject({ name: 'DamagedFileError' });
    await expect(refused).rejects.toThrow(/damaged\.gguf/);
  });

  it('absent', async () => {
    await expect(open(join(folder, 'no.gguf'))).rejects.toThrow(`There is no file ${join(folder, 'no.gguf')}.`);
  });

  it.each([
    ['of another architecture', 'llama.block_count', 'gemma.block_count', /llama\.block_count/],
    ['with a tokenizer of another kind', 'gpt2', 'bert', /tokenizer\.ggml\.model: only byte-level BPE/],
    ['with a tensor of no plain Llama', 'blk.0.attn_v.weight', 'blk.0.attn_z.weight', /it has blk\.0\.attn_z\.weight/],
  ])('%s', async (_, text, other, message) => {
    const bytes = Buffer.from(whole);
    bytes.write(other, bytes.indexOf(text));
    await expect(convertGguf(await openBytes(bytes), folder)).rejects.toThrow(message);
    await expect(convertGguf(await openBytes(bytes), folder)).rejects.toMatchObject({ name: 'DamagedFileError' });
  });
});
