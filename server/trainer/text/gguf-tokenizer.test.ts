import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { namedModel } from '@plumbline/shared/built-in/named-models';
import { assetPath } from '../asset.js';
import { cachedModel } from '../weights/fetch-named-model.js';
import { ConversationEncoder } from './conversation.js';
import { tiny, tinyTokenizer } from './fixtures/tiny.js';
import { tokenizerFromGguf } from './gguf-tokenizer.js';
import type { Message } from './message.js';
import { Tokenizer } from './tokenizer.js';

describe('a byte-level vocabulary of a GGUF', () => {
  it.each(tiny.vocabularies)('gives the ids of transformers for the rule "$pre"', ({ pre, texts, ids }) => {
    const tokenizer = tinyTokenizer({ 'tokenizer.ggml.pre': pre });
    expect(texts.map((text) => [text, tokenizer.encode(text)])).toEqual(texts.map((text, i) => [text, ids[i]]));
    expect(texts.length).toBeGreaterThan(50);
  });
  it('decodes to the text it was made of', () => {
    const tokenizer = tinyTokenizer();
    const { texts, ids } = tiny.vocabularies[0]!;
    expect(ids.map((these) => tokenizer.decode(these))).toEqual(texts);
  });
  it('has its special tokens, and its user-defined ones stay whole without being special', () => {
    const tokenizer = tinyTokenizer();
    expect([tokenizer.bosId, tokenizer.eosId, tokenizer.padId]).toEqual([1, 2, 2]);
    expect(tokenizer.encode('<think><|im_end|>')).toEqual([4, 2]);
    expect(tokenizer.decode([4, 2], { skipSpecialTokens: true })).toBe('<think>');
    expect(tokenizer.size).toBe(tiny.metadata['tokenizer.ggml.tokens'].length);
  });
  it('adds a beginning and an end of text where the file says so', () => {
    const tokenizer = tinyTokenizer({ 'tokenizer.ggml.add_bos_token': true, 'tokenizer.ggml.add_eos_token': true });
    const [id] = tokenizer.encode('a');
    expect(tokenizer.encode('a', { specialTokens: true })).toEqual([1, id, 2]);
    expect(tokenizer.encode('a')).toEqual([id]);
  });
  it('keeps a token that is named like a property of every object', () => {
    const tokens = [...tiny.metadata['tokenizer.ggml.tokens'], '__proto__', 'constructor'];
    const types = tokens.map((_, id) => tiny.metadata['tokenizer.ggml.token_type'][id] ?? 4);
    const tokenizer = tinyTokenizer({ 'tokenizer.ggml.tokens': tokens, 'tokenizer.ggml.token_type': types });
    expect(tokenizer.encode('__proto__constructor')).toEqual([tokens.length - 2, tokens.length - 1]);
    expect(tokenizer.words().slice(-2)).toEqual(['__proto__', 'constructor']);
  });
});

describe('a SentencePiece vocabulary of a GGUF', () => {
  const { metadata, texts, ids, special, decoded } = tiny.sentencePiece;
  const tokenizer = new Tokenizer('spm.gguf', tokenizerFromGguf(metadata, 'spm.gguf'));
  it('gives the ids of transformers, by merges that follow from the scores', () => {
    expect(texts.map((text) => [text, tokenizer.encode(text)])).toEqual(texts.map((text, i) => [text, ids[i]]));
  });
  it('adds the beginning of text, as llama.cpp does for such a file', () => {
    expect(special.map((_, i) => tokenizer.encode(texts[i]!, { specialTokens: true }))).toEqual(special);
  });
  it('decodes as transformers does, without byte order marks, which the library drops', () => {
    const expected = decoded.map((text) => text.replaceAll('\ufeff', ''));
    expect(ids.map((these) => tokenizer.decode(these))).toEqual(expected);
  });
  it('writes no space before a text where the file says so', () => {
    const files = tokenizerFromGguf({ ...metadata, 'tokenizer.ggml.add_space_prefix': false }, 'spm.gguf');
    const without = new Tokenizer('spm.gguf', files);
    expect(without.decode(without.encode(' a b'))).toBe(' a b');
    expect(without.encode('a')).not.toEqual(tokenizer.encode('a'));
  });
});

describe('metadata without a usable tokenizer are refused', () => {
  it.each([
    ['no tokens', { 'tokenizer.ggml.tokens': undefined }, /tiny\.gguf: tokenizer\.ggml\.tokens: .*Use a GGUF of/],
    ['another model', { 'tokenizer.ggml.model': 'bert' }, /tokenizer\.ggml\.model: only byte-level BPE/],
    ['another rule', { 'tokenizer.ggml.pre': 'tekken' }, /"tekken" is split by a rule that is not known.*smollm/],
    ['a rule named like a property', { 'tokenizer.ggml.pre': 'constructor' }, /"constructor" is split by a rule/],
    ['no merges', { 'tokenizer.ggml.merges': undefined }, /tokenizer\.ggml\.merges is missing/],
    ['a damaged merge', { 'tokenizer.ggml.merges': ['ab'] }, /tokenizer\.ggml\.merges\.0/],
    ['an id past the end', { 'tokenizer.ggml.eos_token_id': 9999 }, /eos_token_id is 9999, and there are \d+ tokens/],
  ])('%s', (_, other, message) => expect(() => tinyTokenizer(other)).toThrow(message));
  it('scores that are missing', () => {
    const metadata = { ...tiny.sentencePiece.metadata, 'tokenizer.ggml.scores': [1] };
    expect(() => tokenizerFromGguf(metadata, 'spm.gguf')).toThrow(
      /spm\.gguf: .*scores has not one score for each token/,
    );
  });
});

const folder = await cachedModel(namedModel('smollm2-135m')!);
const needs = 'needs the model: plumbline model fetch smollm2-135m';
describe('SmolLM2-135M-Instruct', () => {
  const real = JSON.parse(readFileSync(assetPath('text/fixtures/smollm2.json'), 'utf8')) as {
    texts: { text: string; ids: number[]; differs?: true }[];
    chats: { messages: Message[]; text: string; ids: number[]; prompt: number[] }[];
  };
  it.skipIf(folder === undefined)(`has the ids of transformers for 200 texts (${needs})`, async () => {
    const tokenizer = await Tokenizer.fromFolder(folder!);
    expect(real.texts.map(({ text }) => ({ text, ids: tokenizer.encode(text) }))).toEqual(
      real.texts.map(({ text, ids }) => ({ text, ids })),
    );
    expect(real.texts.map(({ ids }) => tokenizer.decode(ids))).toEqual(real.texts.map(({ text }) => text));
    expect(real.texts).toHaveLength(200);
  });
  it.skipIf(folder === undefined)(`has the ids of transformers for chats (${needs})`, async () => {
    const encoder = await ConversationEncoder.fromFolder(folder!, { family: 'llama' });
    for (const { messages, ids, prompt } of real.chats) {
      expect([...encoder.encodeConversation(messages).ids]).toEqual(ids);
      expect([...encoder.encodePrompt(messages.slice(0, -1))]).toEqual(prompt);
    }
    expect(encoder.endIds()).toEqual([2]);
  });
});
