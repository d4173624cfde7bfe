import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readConversations } from './conversations.js';
import type { Question } from './data-format.js';
import { LlavaFile } from './llava-file.js';
import { loadTask } from './load-task.js';
import { DataError } from './record.js';
import { surveyDataSet } from './survey.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-conversations-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

/** Writes a file: a text unchanged, records as JSON or JSON lines by the name. */
function write(name: string, content: string | object[]): string {
  const path = join(folder, name);
  const lines = (records: object[]): string => records.map((record) => JSON.stringify(record)).join('\n');
  const text = typeof content === 'string' ? content : name.endsWith('l') ? lines(content) : JSON.stringify(content);
  writeFileSync(path, text);
  return path;
}
/** The questions, and the messages of the errors. */
async function read(path = folder): Promise<(Question | string)[]> {
  const all: (Question | string)[] = [];
  for await (const record of readConversations({ path }))
    all.push(...(record instanceof DataError ? [record.message] : record));
  return all;
}
const said = (all: (Question | string)[]): unknown[] =>
  all.map((one) =>
    typeof one === 'string'
      ? one
      : [...one.before!.map(({ role, content }) => `${role}: ${content as string}`), one.prompt, one.answer],
  );

describe('conversations of text', () => {
  it('are messages: the last question with all that comes before it', async () => {
    write('train.jsonl', [
      {
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'Spell cat.' },
          { role: 'assistant', content: 'c-a-t' },
          {
            role: 'user',
            content: [
              { type: 'text', text: 'And ' },
              { type: 'text', text: 'dog?' },
            ],
          },
          { role: 'assistant', content: 'd-o-g' },
        ],
      },
      { messages: [{ role: 'user', content: 'Hi' }, { role: 'assistant', content: 'Hello' }] }, // prettier-ignore
    ]);
    const all = await read();
    expect(said(all)).toEqual([
      ['system: Be brief.', 'user: Spell cat.', 'assistant: c-a-t', 'And dog?', 'd-o-g'],
      ['Hi', 'Hello'],
    ]);
    expect(all[1]).toMatchObject({
      picture: undefined,
      split: undefined,
      file: join(folder, 'train.jsonl'),
      record: 2,
    });
  });
  it('are in LLaVA’s JSON without pictures, and a record may give its split', async () => {
    const turns = [
      { from: 'human', value: 'Spell cat.' },
      { from: 'gpt', value: 'c-a-t' },
    ];
    write('all.json', [
      { id: '1', conversations: turns, split: 'evaluation' },
      { conversations: turns, images: [] },
    ]);
    const all = await read();
    expect(said(all)).toEqual([
      ['Spell cat.', 'c-a-t'],
      ['Spell cat.', 'c-a-t'],
    ]);
    expect(all.map((one) => (one as Question).split)).toEqual(['evaluation', undefined]);
  });
  it('are rows of a table with a question and its answer, with splits by the files’ names', async () => {
    write('train.csv', 'prompt,answer,system\n"How many, really?",3,\nWhat?,"a\nb",Be brief.\n');
    write('test.csv', 'answer,prompt\n4,And now?\n');
    const all = await read();
    expect(said(all)).toEqual([
      ['And now?', '4'],
      ['How many, really?', '3'],
      ['system: Be brief.', 'What?', 'a\nb'],
    ]);
    expect(all.map((one) => (one as Question).split)).toEqual(['evaluation', 'train', 'train']);
  });
  it.each([
    ['nothing', { text: 'x' }, /record 1: it has no conversation\. A record has "messages".*"prompt" and "answer"/],
    ['a picture', { image: 'a.png', conversations: [] }, /it has an "image"\. The format "llava" reads/],
    [
      'a picture among its parts',
      { messages: [{ role: 'user', content: [{ type: 'image_url' }] }] },
      /record 1: "messages\.0\.content": this is neither a text nor a list of .*"llava" reads pictures/,
    ],
    ['another role', { messages: [{ role: 'tool', content: 'x' }] }, /"messages\.0\.role"/],
    ['no answer', { prompt: 'What?' }, /record 1: "answer"/],
    ['an empty answer', { prompt: 'What?', answer: ' ' }, /it has an empty answer/],
    ['a mark for a picture', { prompt: 'What is <image>?', answer: 'x' }, /its question holds <image>/],
    [
      'a mark for a picture earlier',
      { messages: ['a <image>', 'b', 'c', 'd'].map((content, i) => ({ role: i % 2 ? 'assistant' : 'user', content })) },
      /its earlier message holds <image>/,
    ],
    [
      'two questions in a row',
      { messages: ['a', 'b'].map((content) => ({ role: 'user', content })) },
      /its message 2 is of the user, and one of the assistant must come there\. Questions and answers take turns/,
    ],
    [
      'a system message in the middle',
      { messages: [{ role: 'user', content: 'a' }, { role: 'system', content: 'b' }] }, // prettier-ignore
      /its message 2 is of the system/,
    ],
    ['a question at the end', { messages: [{ role: 'user', content: 'a' }] }, /it does not end with an answer/],
    ['a system message alone', { messages: [{ role: 'system', content: 'a' }] }, /it does not end with an answer/],
    ['an unknown split', { prompt: 'a', answer: 'b', split: 'dev' }, /"split"/],
  ])('with %s are refused by file and record, and reading goes on', async (_, record, message) => {
    write('train.jsonl', [record, { prompt: 'a', answer: 'b' }]);
    const [broken, whole] = await read();
    expect(broken).toMatch(message);
    expect(broken).toContain(join(folder, 'train.jsonl'));
    expect(whole).toMatchObject({ prompt: 'a', answer: 'b' });
  });
  it('name the line of a broken row', async () => {
    write('train.csv', 'prompt,answer\n"a\nb",1\nc,\n');
    expect((await read())[1]).toMatch(/train\.csv, record 2 \(line 4\): "answer"/);
  });

  it('are counted, with the words of earlier messages, and written as LLaVA conversations that are read again', async () => {
    write('train.jsonl', [
      {
        messages: [
          { role: 'system', content: 'Be brief.' },
          { role: 'user', content: 'Spell cat.' },
          { role: 'assistant', content: 'red' },
          { role: 'user', content: 'Again?' },
          { role: 'assistant', content: 'red' },
        ],
      },
    ]);
    const out = join(folder, 'out.json');
    const llava = await LlavaFile.create(out, folder);
    const survey = await surveyDataSet(readConversations, { path: folder }, 1, (questions) => llava.add(questions));
    await llava.close();
    expect(survey).toMatchObject({ records: 1, broken: 0, pictures: 0, answerWords: [{ word: 'red', count: 2 }] });
    expect(survey.words.all).toBe(10);
    expect(JSON.parse(readFileSync(out, 'utf8'))).toEqual([
      {
        id: 'train-1',
        conversations: [
          { from: 'system', value: 'Be brief.' },
          { from: 'human', value: 'Spell cat.' },
          { from: 'gpt', value: 'red' },
          { from: 'human', value: 'Again?' },
          { from: 'gpt', value: 'red' },
        ],
      },
    ]);
    expect(said(await read(out))).toEqual(said(await read(join(folder, 'train.jsonl'))));
  });
  it('are no task of the built-in model', async () => {
    write('train.jsonl', [{ prompt: 'a', answer: 'b' }]);
    await expect(loadTask('conversations', folder, 'mine', 'target')).rejects.toThrow(
      /record 1: it has no picture\. The built-in model answers questions about pictures only/,
    );
  });
});
