import { describe, expect, it } from 'vitest';
import { noLabel } from '../models/model.js';
import { namedTemplate, templateNames } from './chat-template.js';
import { ConversationEncoder, type ConversationOptions } from './conversation.js';
import { tiny, tinyTokenizer } from './fixtures/tiny.js';
import { tokenizerFromGguf } from './gguf-tokenizer.js';
import type { Message } from './message.js';
import { Tokenizer } from './tokenizer.js';

const tokenizer = tinyTokenizer();
const encoderOf = (template: string, options?: ConversationOptions): ConversationEncoder =>
  new ConversationEncoder(tokenizer, tiny.templates[template] ?? template, options);
const user = (content: Message['content']): Message => ({ role: 'user', content });
const assistant = (content: string): Message => ({ role: 'assistant', content });
/** The texts of the taught stretches. */
function taught(encoder: ConversationEncoder, messages: Message[], options?: object): string[] {
  const { labels } = encoder.encodeConversation(messages, options);
  const stretches: number[][] = [[]];
  for (const label of labels) {
    if (label !== noLabel) stretches.at(-1)!.push(label);
    else if (stretches.at(-1)!.length > 0) stretches.push([]);
  }
  return stretches.filter(({ length }) => length > 0).map((ids) => encoder.tokenizer.decode(ids));
}

describe('labels', () => {
  it.each(tiny.labels)('of the chat "$chat" are those of transformers and of the paper', (golden) => {
    const encoder = encoderOf('chatml-generation');
    const messages = tiny.chats[golden.chat]!;
    const answers = encoder.encodeConversation(messages);
    expect([...answers.ids]).toEqual(golden.ids);
    expect([...answers.labels]).toEqual(golden.answers);
    const paper = encoder.encodeConversation(messages, { labels: 'paper' });
    expect([...paper.ids]).toEqual(golden.ids);
    expect([...paper.labels]).toEqual(golden.paper);
    expect([...encoder.encodePrompt(messages.slice(0, -1))]).toEqual(golden.prompt);
  });
  it('lie on every answer and its end, not on the same words of the user', () => {
    const messages = [user('assistant'), assistant('assistant'), user('7'), assistant('user\n7')];
    expect(taught(encoderOf('smollm2'), messages)).toEqual(['assistant<|im_end|>', 'user\n7<|im_end|>']);
    // The encoder's own mark.
    const marked = [user('plumbline answer'), assistant('plumbline answer'), user('a'), assistant('b')];
    expect(taught(encoderOf('smollm2'), marked)).toEqual(['plumbline answer<|im_end|>', 'b<|im_end|>']);
  });
  it('include the end of text where a template writes no end', () => {
    const messages = [user('How many?'), assistant('Three'), user('Sure?'), assistant('Yes')];
    const encoder = encoderOf('llava-1.5-hf');
    expect(taught(encoder, messages)).toEqual([' Three<|im_end|>', ' Yes<|im_end|>']);
    expect(tokenizer.decode([...encoder.encodeConversation(messages).ids])).toBe(
      'USER: How many? ASSISTANT: Three<|im_end|>USER: Sure? ASSISTANT: Yes<|im_end|>',
    );
    expect(encoder.endIds()).toEqual([2]);
  });
  it('begin where the model is asked to begin, even where a template writes that with other white space', () => {
    const messages = [user('How many?'), assistant('Three'), user('Sure?'), assistant('Yes')];
    const encoder = encoderOf('llava-onevision-hf');
    expect(taught(encoder, messages)).toEqual(['Three<|im_end|>', 'Yes<|im_end|>']);
    const prompt = [...encoder.encodePrompt(messages.slice(0, -1))];
    expect([...encoder.encodeConversation(messages).ids].slice(0, prompt.length)).toEqual(prompt);
    expect(tokenizer.decode(prompt)).toMatch(/assistant\nThree<\|im_end\|>.*assistant\n$/s);
  });
  it('end with the answer where a template always asks for the next one, as the first of Llama 3', () => {
    const template =
      "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' }}{% endfor %}{{ '<|im_start|>assistant\n' }}";
    const encoder = encoderOf(template);
    const messages = [user('a'), assistant('b'), user('c'), assistant('d')];
    expect(taught(encoder, messages)).toEqual(['b<|im_end|>', 'd<|im_end|>']);
    const text = tokenizer.decode([...encoder.encodeConversation(messages).ids]);
    expect(text).toMatch(/assistant\nb<\|im_end\|><\|im_start\|>user\nc.*assistant\nd<\|im_end\|>$/s);
    expect(encoder.endIds()).toEqual([2]);
  });
  it('begin with the answer even where its first letters would join the prompt’s last', () => {
    const encoder = encoderOf('smollm2');
    const messages = [user('x'), assistant('\n\n  indented')];
    const prompt = [...encoder.encodePrompt([messages[0]!])];
    const { ids, labels } = encoder.encodeConversation(messages);
    expect([...ids].slice(0, prompt.length)).toEqual(prompt);
    expect(labels.findIndex((label) => label !== noLabel)).toBe(prompt.length);
    expect(taught(encoder, messages)).toEqual(['\n\n  indented<|im_end|>']);
  });
  it.each(templateNames)('lie on the answers with their ends in the template %s, and nowhere else', (name) => {
    const markers = ['<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>', '<|im_start|>'];
    const special = [...markers, '<|im_end|>', '<end_of_utterance>', '<image>', '<|image_pad|>', '</s>'];
    const rest = tiny.metadata['tokenizer.ggml.tokens'].slice(5);
    const own = tinyTokenizer({
      'tokenizer.ggml.tokens': [...special, ...rest],
      'tokenizer.ggml.token_type': [...special.map(() => 3), ...rest.map(() => 1)],
      'tokenizer.ggml.bos_token_id': 0,
      'tokenizer.ggml.eos_token_id': 9,
    });
    const pictureToken = name === 'qwen2_5_vl' ? '<|image_pad|>' : '<image>';
    const encoder = new ConversationEncoder(own, namedTemplate(name), { pictureToken });
    const question = user([{ type: 'image' }, { type: 'text', text: 'cats 3' }]);
    const messages = [question, assistant('3'), user('cats 3'), assistant('cats')];
    const pictures = [pictureToken.repeat(5)];
    const end = {
      ...{ vicuna_v1: '</s>', mistral_instruct: '</s>', llava_llama_3: '<|eot_id|>' },
      ...{ qwen_1_5: '<|im_end|>', qwen2_5_vl: '<|im_end|>', smolvlm: '<end_of_utterance>' },
    }[name];
    expect(taught(encoder, messages, { pictures }).map((text) => text.trimStart())).toEqual([`3${end}`, `cats${end}`]);
    const { ids } = encoder.encodeConversation(messages, { pictures });
    expect([...ids].filter((id) => id === own.idOf(pictureToken))).toHaveLength(5);
    const prompt = [...encoder.encodePrompt(messages.slice(0, -1), pictures)];
    expect([...ids].slice(0, prompt.length)).toEqual(prompt);
    expect(encoder.endIds()).toContain(own.idOf(end));
  });
  it('of the paper exist for ChatML and Llama 3 only', () => {
    const metadata = tiny.sentencePiece.metadata;
    const spm = new Tokenizer('spm.gguf', tokenizerFromGguf(metadata, 'spm.gguf'));
    const encoder = new ConversationEncoder(spm, tiny.templates['llava-1.5-hf']!);
    expect(() => encoder.encodeConversation([user('a'), assistant('b')], { labels: 'paper' })).toThrow(
      /spm\.gguf: the paper's labels are defined for ChatML and Llama 3.*Use the labels "answers"/,
    );
  });
  it('of the paper keep the markers of Llama 3 and the header of an answer', () => {
    const markers = ['<|begin_of_text|>', '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>'];
    const llama3 = tinyTokenizer({
      'tokenizer.ggml.tokens': [...markers, ...tiny.metadata['tokenizer.ggml.tokens'].slice(4)],
      'tokenizer.ggml.bos_token_id': 0,
      'tokenizer.ggml.eos_token_id': 3,
    });
    const encoder = new ConversationEncoder(llama3, namedTemplate('llava_llama_3'));
    const messages: Message[] = [{ role: 'system', content: 'S' }, user('a'), assistant('b')];
    expect(taught(encoder, messages)).toEqual(['b<|eot_id|>']);
    expect(taught(encoder, messages, { labels: 'paper' })).toEqual([
      '<|begin_of_text|><|start_header_id|>',
      '<|end_header_id|>',
      '<|eot_id|><|start_header_id|>',
      '<|end_header_id|>',
      '<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nb<|eot_id|>',
    ]);
  });
});

describe('pictures', () => {
  const image = { type: 'image' } as const;
  const messages = [
    user([image, image, { type: 'text', text: 'Same?' }]),
    assistant('No'),
    user([image]),
    assistant('Yes'),
  ];
  it('become their texts in order, and each is counted', () => {
    const encoder = encoderOf(namedTemplate('qwen_1_5'));
    const pictures = ['<image><image>', '<image>', '<image><image><image>'];
    const { ids, labels } = encoder.encodeConversation(messages, { pictures });
    const text = tokenizer.decode([...ids]);
    expect(text).toContain('user\n<image><image>\n<image>\nSame?<|im_end|>');
    expect(text).toContain('user\n<image><image><image>\n<|im_end|>');
    expect([...ids].filter((id) => id === tokenizer.idOf('<image>'))).toHaveLength(6);
    expect([...labels]).not.toContain(tokenizer.idOf('<image>'));
    expect(() => encoder.encodeConversation(messages, { pictures: ['<image>'] })).toThrow(
      /places for 3 pictures, and 1 are given/,
    );
  });
  it('are refused where a text holds what stands for one', () => {
    const encoder = encoderOf(namedTemplate('qwen_1_5'));
    expect(() => encoder.encodeConversation([user('What is <image>?'), assistant('x')])).toThrow(
      /writes <image> 1 times for 0 pictures\. Remove <image> from the texts/,
    );
  });
  it('come after the beginning of text that a processor adds, unless the template writes it', () => {
    const spm = new Tokenizer('spm', tokenizerFromGguf(tiny.sentencePiece.metadata, 'spm'));
    const begins = (template: string): number[] => {
      const encoder = new ConversationEncoder(spm, template, { specialTokens: true });
      const { ids, labels } = encoder.encodeConversation([user('a'), assistant('b'), user('c'), assistant('d')]);
      expect(labels[0]).toBe(noLabel);
      return [...ids].filter((id) => id === spm.bosId);
    };
    expect(begins(namedTemplate('vicuna_v1'))).toEqual([1]);
    expect(begins(`{{ bos_token }}${namedTemplate('vicuna_v1')}`)).toEqual([1]);
  });
});

describe('a template is refused', () => {
  const messages = [user('a'), assistant('b'), user('c'), assistant('d')];
  it.each([
    [
      'that numbers what is left',
      '{% for m in messages %}{{ loop.length - loop.index }} {{ m.content }}<|im_end|>{% endfor %}',
      /changes what it has written by message 2: .*Use a template that only appends/,
    ],
    [
      'that drops earlier answers',
      "{% for m in messages %}{% if loop.last or m.role == 'user' %}{{ m.content }}<|im_end|>{% endif %}{% endfor %}",
      /by message 4: it writes ".*" first, and ".*" as the conversation goes on/,
    ],
    [
      'that rewrites answers',
      "{% for m in messages %}{{ m.content | upper if m.role == 'assistant' else m.content }}<|im_end|>{% endfor %}",
      /by message 2: it does not write the answer as it is/,
    ],
    [
      'that asks in another way than it answers',
      '{% for m in messages %}{{ m.role }}: {{ m.content }}<|im_end|>{% endfor %}{% if add_generation_prompt %}bot: {% endif %}',
      /it writes ".*bot: " to ask for an answer, and ".*assistant: " before one/,
    ],
  ])('%s', (_, template, message) => expect(() => encoderOf(template).encodeConversation(messages)).toThrow(message));
});

describe('a conversation is refused', () => {
  it('that does not end with an answer', () => {
    const encoder = encoderOf('smollm2');
    for (const messages of [[], [user('a')], [user('a'), assistant('b'), user('c')]])
      expect(() => encoder.encodeConversation(messages)).toThrow(/does not end with an answer of the assistant/);
  });
  it('as a prompt, when it is answered already', () => {
    expect(() => encoderOf('smollm2').encodePrompt([user('a'), assistant('b')])).toThrow(/ends with an answer already/);
  });
});
