import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ChatTemplate, defaultTemplate, namedTemplate, templateNames, templateOfFolder } from './chat-template.js';
import { tiny, tinyTokenizer } from './fixtures/tiny.js';

const tokens = { source: 'tiny', bosToken: '<s>', eosToken: '</s>' };
const sourceOf = (name: string): string =>
  tiny.templates[name] ?? namedTemplate(templateNames.find((n) => n === name)!);

describe('a chat template', () => {
  it.each(tiny.renders)(
    '$template writes the chat "$chat" as transformers does',
    ({ template, chat, text, prompt }) => {
      const written = new ChatTemplate(sourceOf(template), tokens);
      const messages = tiny.chats[chat]!;
      expect(written.render(messages, false)).toBe(text);
      expect(written.render(messages.slice(0, -1), true)).toBe(prompt);
    },
  );
  it('of text only writes the place of a picture into the text', () => {
    const template = new ChatTemplate(tiny.templates['smollm2']!, tokens, '<picture>');
    const content = [{ type: 'image' } as const, { type: 'text', text: 'What is it?' } as const];
    expect(template.render([{ role: 'user', content }], false)).toContain('user\n<picture>\nWhat is it?<|im_end|>');
  });
  it('with the date of Llama 3 writes the same on every day', () => {
    const source =
      "{{ date_string if date_string is defined else strftime_now('%d %b %Y') }} {{ messages[0].content }}";
    expect(new ChatTemplate(source, tokens).render([{ role: 'user', content: 'hi' }], false)).toBe('26 Jul 2024 hi');
  });
  it('that refuses a conversation gives its reason', () => {
    const template = new ChatTemplate(namedTemplate('mistral_instruct'), tokens);
    const messages = [{ role: 'system', content: 'x' } as const, { role: 'user', content: 'y' } as const];
    expect(() => template.render(messages, false)).toThrow(/refuses the conversation: .*Mistral has no system turn/);
  });
  it.each([
    ['{% for m in messages %}', /tiny: the chat template is not Jinja/],
    ['{% for m in messages %}{{ m.role }}{% endfor %}', /does not write the text of a user's message/],
  ])('%s is refused', (source, message) => expect(() => new ChatTemplate(source, tokens)).toThrow(message));
});

describe('the template of a folder', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'plumbline-template-'));
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('is its own file, else the one for the processor, else the tokenizer’s', async () => {
    const tokenizer = tinyTokenizer({ 'tokenizer.chat_template': 'three' });
    const find = (): Promise<string> => templateOfFolder({ folder, family: 'llava' }, tokenizer);
    expect(await find()).toBe('three');
    await writeFile(join(folder, 'chat_template.json'), '{"chat_template": "two"}');
    expect(await find()).toBe('two');
    await writeFile(join(folder, 'chat_template.jinja'), 'one');
    expect(await find()).toBe('one');
  });
  it('is the default of a family with pictures', async () => {
    const tokenizer = tinyTokenizer();
    const find = (family: string): Promise<string> => templateOfFolder({ folder, family }, tokenizer);
    expect(await find('llava')).toBe(namedTemplate('vicuna_v1'));
    expect(await find('llava_onevision')).toBe(namedTemplate('qwen_1_5'));
    expect(defaultTemplate('llava_next', 'mistral')).toBe('mistral_instruct');
    const tokens = [...tiny.metadata['tokenizer.ggml.tokens'], '<|start_header_id|>'];
    const llama3 = tinyTokenizer({ 'tokenizer.ggml.tokens': tokens });
    expect(await templateOfFolder({ folder, family: 'llava_next', textModel: 'llama' }, llama3)).toBe(
      namedTemplate('llava_llama_3'),
    );
  });
  it.each(['llama', 'qwen2'])('must be there for a text model: %s', async (family) => {
    await expect(templateOfFolder({ folder, family }, tinyTokenizer())).rejects.toThrow(
      /has no chat template.*as chat_template\.jinja, or take the "instruct"/,
    );
  });
  it.each([
    ['{', /chat_template\.json is not JSON/],
    ['{"template": "x"}', /chat_template\.json has no "chat_template"/],
  ])('is refused when damaged: %s', async (content, message) => {
    await writeFile(join(folder, 'chat_template.json'), content);
    await expect(templateOfFolder({ folder, family: 'llava' }, tinyTokenizer())).rejects.toThrow(message);
  });
});
