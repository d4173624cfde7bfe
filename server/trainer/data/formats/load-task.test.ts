import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Rng } from '@plumbline/shared/rng';
import { prepareQuestion } from '../../models/built-in/processing.js';
import { noLabel } from '../../models/model.js';
import type { Split, Task } from '../task.js';
import { builtInTokenizer } from '../vocabulary.js';
import type { Question } from './data-format.js';
import type { DataFormatName } from './data-format-names.js';
import { dataFormats } from './data-formats.js';
import { loadTask } from './load-task.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plumbline-data-'));
});
afterEach(() => rm(folder, { recursive: true }));

/** A picture of one grey value, by which a test recognises it. */
function picture(name: string, grey: number): Promise<Buffer> {
  const create = { width: 48, height: 40, channels: 3 as const, background: { r: grey, g: grey, b: grey } };
  return sharp({ create })
    .toFormat(name.endsWith('.jpg') ? 'jpeg' : 'png', { quality: 95 })
    .toBuffer();
}

/** Writes files: text unchanged, a number as a picture of that grey, anything else as JSON. */
async function write(files: Record<string, unknown>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    const text = typeof content === 'string' ? content : JSON.stringify(content);
    await writeFile(join(folder, name), typeof content === 'number' ? await picture(name, content) : text);
  }
}
const load = (format: DataFormatName): Promise<Task> => loadTask(format, folder, 'mine', 'target');

/** Every example of a split as "grey | prompt | answer". */
function examples(task: Task, split: Split): string[] {
  const rng = new Rng(1);
  const drawn = Array.from({ length: 200 }, () => task.sample(rng, split));
  return [...new Set(drawn.map(({ image, prompt, answer }) => `${image[0]} | ${prompt} | ${answer}`))].sort();
}

const cub = {
  'images.txt': '1 001.Black_footed_Albatross/a.jpg\n2 002.Indigo_Bunting/b.jpg\n3 002.Indigo_Bunting/c.jpg\n',
  'image_class_labels.txt': '1 1\n2 2\n3 2\n',
  'train_test_split.txt': '1 1\n2 1\n3 0\n',
  'classes.txt': '1 001.Black_footed_Albatross\n2 002.Indigo_Bunting\n',
  'images/001.Black_footed_Albatross/a.jpg': 10,
  'images/002.Indigo_Bunting/b.jpg': 20,
  'images/002.Indigo_Bunting/c.jpg': 30,
};

describe('CUB-200-2011', () => {
  it('is read with its own split and the names of its species', async () => {
    await write(cub);
    const task = await load('cub_200');
    expect(task).toMatchObject({ name: 'mine', kind: 'target', chance: 0 });
    expect(examples(task, 'train')).toEqual([
      '10 | which bird is this ? | black footed albatross',
      '20 | which bird is this ? | indigo bunting',
    ]);
    expect(examples(task, 'evaluation')).toEqual(['30 | which bird is this ? | indigo bunting']);
  });
  it('may be in the folder that its archive unpacks to', async () => {
    await write(Object.fromEntries(Object.entries(cub).map(([name, content]) => [`CUB_200_2011/${name}`, content])));
    expect(examples(await load('cub_200'), 'evaluation')).toHaveLength(1);
  });
  it.each([
    ['a file', { 'classes.txt': undefined }, /classes\.txt is missing. Give the folder that CUB_200_2011\.tgz/],
    [
      'a label',
      { 'image_class_labels.txt': '1 1\n3 2\n' },
      /images\.txt, record 2: image_class_labels\.txt has no image 2/,
    ],
    ['a class', { 'classes.txt': '2 002.Indigo_Bunting\n' }, /images\.txt, record 1: classes\.txt has no class 1/],
    [
      'a value',
      { 'train_test_split.txt': '1 1\n2\n3 0\n' },
      /train_test_split\.txt, record 2: "2" is not a number and/,
    ],
    [
      'a line of images.txt',
      { 'images.txt': cub['images.txt'].split('\n').slice(0, 2).join('\n') },
      /image_class_labels\.txt, record 3: images\.txt has no image 3/,
    ],
    [
      'a whole number of the split',
      { 'train_test_split.txt': '1 1.0\n2 1.0\n3 0.0\n' },
      /train_test_split\.txt, record 1: "1\.0" is neither 1 nor 0/,
    ],
    [
      'a number of its own',
      { 'train_test_split.txt': '1 1\n2 1\n2 0\n3 0\n' },
      /train_test_split\.txt, record 3: the number 2 occurs twice/,
    ],
    [
      'a picture',
      { 'images/002.Indigo_Bunting/b.jpg': undefined },
      /images\.txt, record 2: there is no picture .*b\.jpg/,
    ],
  ])('is refused where %s is missing', async (_, changed: Record<string, unknown>, message) => {
    await write(
      Object.fromEntries(Object.entries({ ...cub, ...changed }).filter(([, content]) => content !== undefined)),
    );
    await expect(load('cub_200')).rejects.toThrow(message);
  });
});

describe('PixmoCount', () => {
  const row = { image_url: 'https://live.example/1/55_ab_o.jpg?x=1', image_sha256: 'aa', label: 'Dogs', count: 3 };
  it('finds pictures by digest, by the end of the address, or by path', async () => {
    await write({
      'train.jsonl': [row, { ...row, image_sha256: 'bb', count: 0 }].map((line) => JSON.stringify(line)).join('\n'),
      'validation.jsonl': JSON.stringify({ image: 'pictures/c.png', label: 'dogs', count: 12 }),
      'images/aa.jpg': 10,
      'images/55_ab_o.jpg': 20,
      'pictures/c.png': 30,
    });
    const task = await load('pixmo_count');
    expect(examples(task, 'train')).toEqual([
      '10 | how many dogs are there ? | 3',
      '20 | how many dogs are there ? | 0',
    ]);
    expect(examples(task, 'evaluation')).toEqual(['30 | how many dogs are there ? | 12']);
  });
  it.each(['csv', 'tsv'])('is read from a table as %s, with its counts as text', async (type) => {
    const lines = (...rows: string[][]): string =>
      rows.map((fields) => fields.join(type === 'csv' ? ',' : '\t')).join('\n');
    const head = ['image_sha256', 'image_url', 'label', 'count'];
    await write({
      [`train.${type}`]: lines(head, ['aa', '', 'dogs', '3']),
      [`test.${type}`]: lines(head, ['bb', '', 'dogs', '0']),
      'images/aa.jpg': 10,
      'images/bb.jpg': 20,
    });
    const task = await load('pixmo_count');
    expect(examples(task, 'train')).toEqual(['10 | how many dogs are there ? | 3']);
    expect(examples(task, 'evaluation')).toEqual(['20 | how many dogs are there ? | 0']);
    await write({ [`train.${type}`]: lines(head, ['aa', '', 'dogs', '3.5']) });
    await expect(load('pixmo_count')).rejects.toThrow(/record 1 \(line 2\): "count": /);
  });
  it.each([
    ['a count of text', { ...row, count: 'three' }, /train\.json, record 2: "count": .* A record of PixmoCount has/],
    ['a negative count', { ...row, count: -1 }, /record 2: "count"/],
    ['no label', { ...row, label: undefined }, /record 2: "label"/],
    ['no picture named', { label: 'dogs', count: 1 }, /record 2: it names no picture/],
    [
      'a picture that was not fetched',
      { ...row, image_sha256: 'cc', image_url: 'https://live.example/d.jpg' },
      /record 2: there is no picture .*cc\.jpg \(nor .*d\.jpg\)/,
    ],
  ])('refuses %s', async (_, broken, message) => {
    await write({ 'train.json': [row, broken], 'images/aa.jpg': 10 });
    await expect(load('pixmo_count')).rejects.toThrow(message);
  });
});

describe('PathVQA', () => {
  it('is read from rows with paths', async () => {
    await write({
      'train.jsonl': '{"image": "a.jpg", "question": "Is there Necrosis?", "answer": "Yes"}\n',
      'test.jsonl': '{"image": "b.jpg", "question": "Is there necrosis?", "answer": "yes"}\n',
      'images/a.jpg': 10,
      'images/b.jpg': 20,
    });
    const task = await load('path_vqa');
    expect(examples(task, 'train')).toEqual(['10 | is there necrosis ? | yes']);
    expect(examples(task, 'evaluation')).toEqual(['20 | is there necrosis ? | yes']);
    expect(task.chance).toBe(100);
  });
  it("is read from the hub's Parquet files with the pictures inside", async () => {
    await mkdir(join(folder, 'data'));
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    for (const [name, grey] of [
      ['train-00000-of-00001', 10],
      ['validation-00000-of-00001', 20],
    ] as const) {
      const hex = (await picture('a.jpg', grey)).toString('hex');
      const image = `{'bytes': unhex('${hex}'), 'path': NULL::VARCHAR}`;
      const rows = `SELECT ${image} AS image, 'what is it?' AS question, 'a cell' AS answer`;
      await connection.run(`COPY (${rows}) TO '${join(folder, 'data', name)}.parquet' (FORMAT parquet)`);
    }
    instance.closeSync();
    const task = await load('path_vqa');
    expect(examples(task, 'train')).toEqual(['10 | what is it ? | a cell']);
    expect(examples(task, 'evaluation')).toEqual(['20 | what is it ? | a cell']);
  });
  it.each([
    ['an empty question', { question: ' ' }, /record 1: it has an empty question/],
    ['the sign of a picture', { question: 'is <image> it ?' }, /record 1: its question holds <image>/],
  ])('refuses a record with %s', async (_, changed, message) => {
    const record = { image: 'a.jpg', answer: 'yes', ...changed };
    await write({ 'train.jsonl': JSON.stringify(record), 'a.jpg': 10 });
    await expect(load('path_vqa')).rejects.toThrow(message);
  });
  it('refuses a record without an answer and describes a record', async () => {
    await write({ 'train.jsonl': '{"image": "a.jpg", "question": "is it ?"}\n', 'a.jpg': 10 });
    await expect(load('path_vqa')).rejects.toThrow(/train\.jsonl, record 1: "answer": .*A record of PathVQA has/);
  });
});

describe('TextVQA', () => {
  const record = { image_id: 'a1', question: 'what is the brand?', answers: ['nokia', 'Nokia', 'nokia', 'none'] };
  const file = (...data: unknown[]): unknown => ({ dataset_name: 'textvqa', dataset_version: '0.5.1', data });
  it('takes the most frequent answer', async () => {
    await write({
      'TextVQA_0.5.1_train.json': file(record),
      'TextVQA_0.5.1_val.json': file({ ...record, image_id: 'b2', answers: ['x', 'y', 'y'] }),
      'train_images/a1.jpg': 10,
      'train_images/b2.jpg': 20,
    });
    const task = await load('text_vqa');
    expect(examples(task, 'train')).toEqual(['10 | what is the brand ? | nokia']);
    expect(examples(task, 'evaluation')).toEqual(['20 | what is the brand ? | y']);
    const all = [];
    for await (const read of dataFormats.text_vqa({ path: folder })) all.push(...(read as Question[]));
    expect(all.map(({ answers }) => answers)).toEqual([record.answers, ['x', 'y', 'y']]);
  });
  it.each([
    [['Nokia', 'nokia', 'NOKIA', 'nokia ', 'samsung', 'samsung'], 'nokia'],
    [['', '', ' ', 'nokia', 'nokia', 'samsung'], 'nokia'],
    [['b', 'a'], 'b'],
  ])('takes %j for %s', async (answers, answer) => {
    await write({
      'TextVQA_0.5.1_train.json': file({ ...record, answers }),
      'TextVQA_0.5.1_val.json': file(record),
      'train_images/a1.jpg': 10,
    });
    expect(examples(await load('text_vqa'), 'train')).toEqual([`10 | what is the brand ? | ${answer}`]);
  });
  it('refuses a record whose answers are all empty', async () => {
    await write({ 'TextVQA_0.5.1_train.json': file({ ...record, answers: ['', ' '] }), 'train_images/a1.jpg': 10 });
    await expect(load('text_vqa')).rejects.toThrow(/record 1: all of its answers are empty/);
  });
  it('refuses a missing file, a missing picture and a record without answers', async () => {
    await expect(load('text_vqa')).rejects.toThrow(/TextVQA_0\.5\.1_train\.json is missing/);
    await write({ 'TextVQA_0.5.1_train.json': file(record) });
    await expect(load('text_vqa')).rejects.toThrow(/record 1: there is no picture .*train_images.*a1\.jpg/);
    await write({ 'TextVQA_0.5.1_train.json': file({ ...record, answers: [] }) });
    await expect(load('text_vqa')).rejects.toThrow(/record 1: "answers": .*A record of TextVQA has/);
  });
});

describe('clocks', () => {
  it('have their time as text or as hour and minute, in words that the built-in tokenizer knows', async () => {
    await write({
      'train.json': [
        { image: 'a.png', question: 'What time is shown?', answer: '03:07' },
        { image: 'b.png', time: '15:30' },
      ],
      'test.json': [{ image: 'c.png', hour: 0, minute: 5 }],
      'a.png': 10,
      'b.png': 20,
      'c.png': 30,
    });
    const task = await load('time_clock');
    expect(examples(task, 'train')).toEqual(['10 | what time is it ? | 3 : 07', '20 | what time is it ? | 3 : 30']);
    expect(examples(task, 'evaluation')).toEqual(['30 | what time is it ? | 12 : 05']);
    const { labels } = prepareQuestion(task.sample(new Rng(1), 'evaluation'), builtInTokenizer());
    expect(labels.filter((id) => id !== noLabel)).toHaveLength(4);
  });
  it('are read from the tables of "It\'s About Time"', async () => {
    await write({
      'coco_train.csv': 'img_id,file_name,hour,minute\n1,a.png,3,7\n',
      'coco_test.csv': 'img_id,file_name,hour,minute\n2,b.png,11,59\n',
      'images/a.png': 10,
      'images/b.png': 20,
    });
    expect(examples(await load('time_clock'), 'evaluation')).toEqual(['20 | what time is it ? | 11 : 59']);
  });
  it.each([
    [{ image: 'a.png', answer: 'noon' }, /record 1: it has no time. A record of a clock has/],
    [{ image: 'a.png', answer: '110:08' }, /record 1: it has no time/],
    [{ image: 'a.png', answer: '10:75' }, /record 1: 10:75 is not a time of day/],
    [{ answer: '10:15' }, /record 1: it names no picture/],
  ])('are refused: %j', async (record, message) => {
    await write({ 'train.json': [record], 'a.png': 10 });
    await expect(load('time_clock')).rejects.toThrow(message);
  });
});

describe('LLaVA conversations', () => {
  const turn = (question: string, answer: string): unknown[] => [
    { from: 'human', value: question },
    { from: 'gpt', value: answer },
  ];
  it('give one question per turn', async () => {
    const conversations = [...turn('<image>\nWhat colour is the circle?', 'Red'), ...turn('And the square?', 'Blue')];
    await write({
      'set_train.json': [{ id: '1', image: 'set/a.png', conversations }],
      'set_test.json': [{ id: '2', image: 'set/b.png', conversations: turn('Which one?\n<image>', 'B') }],
      'set/a.png': 10,
      'images/set/b.png': 20,
    });
    const task = await load('llava');
    expect(examples(task, 'train')).toEqual(['10 | and the square ? | blue', '10 | what colour is the circle ? | red']);
    expect(examples(task, 'evaluation')).toEqual(['20 | which one ? | B']);
  });
  it('without a split have one picture in ten for evaluation, with all its questions', async () => {
    const records = Array.from({ length: 100 }, (_, i) => ({
      image: `${i}.png`,
      conversations: [...turn('<image> a ?', 'yes'), ...turn('b ?', 'no')],
    }));
    await write({ 'all.json': records, ...Object.fromEntries(records.map(({ image }, i) => [image, i])) });
    const task = await load('llava');
    const pictures = (split: Split): Set<string> => new Set(examples(task, split).map((text) => text.split(' ')[0]!));
    const [train, evaluation] = [pictures('train'), pictures('evaluation')];
    expect([...evaluation].filter((grey) => train.has(grey))).toEqual([]);
    expect(evaluation.size).toBeGreaterThan(2);
    expect(evaluation.size).toBeLessThan(25);
    expect(examples(task, 'evaluation')).toHaveLength(evaluation.size * 2);
  });
  it('name their picture by an absolute path, or in a list of one', async () => {
    const record = (image: unknown): unknown => ({ image, conversations: turn('<image> x ?', 'y') });
    await write({
      'train.json': [record(join(folder, 'elsewhere/a.png'))],
      'test.json': [record(['b.png'])],
      'elsewhere/a.png': 10,
      'b.png': 20,
    });
    const task = await load('llava');
    expect(examples(task, 'train')).toEqual(['10 | x ? | y']);
    expect(examples(task, 'evaluation')).toEqual(['20 | x ? | y']);
  });
  it('name a word that the built-in tokenizer does not know', async () => {
    const record = (image: string): unknown => ({ image, conversations: turn('<image>what is it ?', 'A zebra') });
    await write({ 'train.json': [record('a.png')], 'test.json': [record('a.png')], 'a.png': 1 });
    const task = await load('llava');
    const example = task.sample(new Rng(1), 'train');
    expect(() => prepareQuestion(example, builtInTokenizer())).toThrow(/"zebra" is not in the vocabulary/);
  });
  it.each([
    ['without a picture', { conversations: turn('hello ?', 'hello') }, /train\.json, record 2: it has no "image"/],
    ['with two pictures', { image: ['a.png', 'a.png'], conversations: turn('x ?', 'y') }, /record 2: it has a list of/],
    [
      'without an answer',
      { image: 'a.png', conversations: turn('x ?', 'y').slice(0, 1) },
      /record 2: "conversations": a conversation has at least a question and its answer/,
    ],
    [
      'with a question left',
      { image: 'a.png', conversations: [...turn('x ?', 'y'), turn('z ?', 'y')[0]] },
      /record 2: turn 2 is not a question/,
    ],
    [
      'of other speakers',
      { image: 'a.png', conversations: [{ from: 'system', value: 'x' }, ...turn('x ?', 'y')] },
      /record 2: "conversations\.0\.from"/,
    ],
    [
      'with the sign of a picture in an answer',
      { image: 'a.png', conversations: turn('x ?', 'the <image> element') },
      /record 2: its answer holds <image>, which a trainer takes for a picture/,
    ],
    [
      'with the sign of a picture in two questions',
      { image: 'a.png', conversations: [...turn('<image> x ?', 'y'), ...turn('<image> z ?', 'y')] },
      /record 2: its questions contain <image> 2 times/,
    ],
    ['with an empty list of pictures', { image: [], conversations: turn('x ?', 'y') }, /record 2: it has no "image"/],
    ['with an empty answer', { image: 'a.png', conversations: turn('<image>', 'y') }, /record 2: turn 1 has an empty/],
    [
      'of a missing picture',
      { image: 'b.png', conversations: turn('x ?', 'y') },
      /record 2: there is no picture .*b\.png/,
    ],
    [
      'of a broken picture',
      { image: 'broken.png', conversations: turn('x ?', 'y') },
      /record 2: .*broken\.png is not in JPEG, PNG/,
    ],
  ])('are refused %s', async (_, broken, message) => {
    const whole = { image: 'a.png', conversations: turn('x ?', 'y') };
    await write({ 'train.json': [whole, broken], 'a.png': 1, 'broken.png': 'hello' });
    await expect(load('llava')).rejects.toThrow(message);
  });
  it('are refused when a split is empty', async () => {
    await write({ 'train.json': [], 'test.json': [{ image: 'a.png', conversations: turn('x ?', 'y') }], 'a.png': 1 });
    await expect(load('llava')).rejects.toThrow(/has no records for training/);
  });
});
