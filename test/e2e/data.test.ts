import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/* `plumbline data` as a person runs it: a process of its own. */

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plumbline-data-command-'));
});
afterEach(() => rm(folder, { recursive: true }));

const png = (grey: number): Promise<Buffer> =>
  sharp({ create: { width: 2, height: 2, channels: 3, background: { r: grey, g: grey, b: grey } } })
    .png()
    .toBuffer();

/** Writes files: text unchanged, a number as a grey picture, a list of records as JSON lines. */
async function write(files: Record<string, string | number | object[]>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    const lines = Array.isArray(content) ? content.map((record) => JSON.stringify(record)).join('\n') : content;
    await writeFile(join(folder, name), typeof lines === 'number' ? await png(lines) : lines);
  }
}

const data = (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> =>
  new Promise((resolve) => {
    execFile(process.execPath, ['server/dist/cli.js', 'data', ...args], (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    );
  });
const json = async (...args: string[]): Promise<Record<string, unknown>> =>
  JSON.parse((await data(...args, '--json')).stdout) as Record<string, unknown>;

const clocks = {
  'train.jsonl': [
    { image: 'a.png', time: '3:15' },
    { image: 'a.png', time: '3:30' },
  ],
  'test.jsonl': [{ image: 'b.png', time: '10:08' }],
  'a.png': 10,
  'images/b.png': 20,
};

describe('plumbline data', () => {
  it('summarises a valid data set', async () => {
    await write(clocks);
    const { code, stdout } = await data('time_clock', folder);
    expect(code).toBe(0);
    expect(stdout.split('\n')).toEqual([
      '3 records, none broken',
      '2 pictures',
      '3 questions: 2 to train, 1 to evaluate',
      'words of answers, most frequent first: : ×3, 3 ×2, 08 ×1, 10 ×1, 15 ×1, 30 ×1',
      'words that the built-in vocabulary knows: 11 of 11 different ones (100 %), 100 % of all as they stand there',
      '',
    ]);
  });

  it('reports every broken record, continues after it, and exits with 1', async () => {
    await write({
      'all.jsonl':
        '{"image": "a.png", "question": "Is it a zebra?", "answer": "yes"}\n' +
        '{"image": \n' +
        '{"image": "none.png", "question": "x", "answer": "y"}\n' +
        '{"image": "a.png", "question": "x"}\n' +
        '{"image": "torn.png", "question": "x", "answer": "y"}\n' +
        '{"image": "a.png", "question": "Is it red?", "answer": "no"}\n',
      'a.png': 10,
      'torn.png': 'no picture',
    });
    const { code, stdout } = await data('path_vqa', folder);
    expect(code).toBe(1);
    const file = join(folder, 'all.jsonl');
    expect(stdout).toContain('6 records, 4 broken\n1 picture\n2 questions: 2 not divided\n');
    expect(stdout).toContain(`${file}, record 2: this is not JSON`);
    expect(stdout).toContain(`${file}, record 3: there is no picture ${join(folder, 'none.png')}`);
    expect(stdout).toContain(`${file}, record 4: "answer": `);
    expect(stdout).toContain(`${file}, record 5: ${join(folder, 'torn.png')} is not in JPEG, PNG, `);
    expect(stdout).toMatch(/knows: 7 of 8 different ones \(88 %\), 91 % .*\nwords that it does not know.*: zebra ×1\n/);

    const limited = await data('path_vqa', folder, '--limit', '1');
    expect(limited.stdout).toContain('record 2: this is not JSON');
    expect(limited.stdout).toMatch(/\n\.\.\. and 3 more \(--limit\)\n$/);
    expect(limited.stdout).not.toContain('record 3');
    expect(limited.code).toBe(1);

    expect(await json('path_vqa', folder, '--limit', '1')).toMatchObject({
      ...{ format: 'path_vqa', records: 6, broken: 4, pictures: 1, written: null },
      questions: { train: 0, evaluation: 0, undivided: 2 },
      words: { different: 8, differentKnown: 7, all: 11, allKnown: 10 },
      faults: [{ file, record: 2, todo: 'Fix it, or get the file again.' }],
    });
  });

  it('reports every broken record in the lists of CUB-200 too', async () => {
    await write({
      'images.txt': '1 a/a.png\n2 a/b.png\n3 a/c.png\n',
      'image_class_labels.txt': '1 1\n2 1\n3 9\n',
      'train_test_split.txt': '1 1\n2\n3 0\n',
      'classes.txt': '1 001.Robin\n',
      'images/a/a.png': 1,
    });
    const { faults } = (await json('cub_200', folder)) as { faults: { wrong: string; record: number }[] };
    expect(faults.map(({ wrong, record }) => `${record} ${wrong}`)).toEqual([
      '2 "2" is not a number and a value',
      '2 train_test_split.txt has no image 2',
      '3 classes.txt has no class 9',
    ]);
  });

  it('looks for pictures in another folder if one is given', async () => {
    await write({
      'set/train.jsonl': [{ image: 'a.png', time: '3:15' }],
      'elsewhere/a.png': 10,
    });
    const [set, images] = [join(folder, 'set'), join(folder, 'elsewhere')];
    expect((await data('time_clock', set)).code).toBe(1);
    expect((await data('time_clock', set, '--images', images)).code).toBe(0);
  });

  it('writes valid records as conversations with the same questions, pictures and splits', async () => {
    await write({ ...clocks, 'more_train.jsonl': [{ image: 'none.png', time: '1:00' }] });
    await mkdir(join(folder, 'out'));
    const file = join(folder, 'out', 'clocks.json');
    const { code, stdout } = await data('time_clock', folder, '--to-llava', file);
    expect(code).toBe(1);
    expect(stdout).toContain(`Wrote 3 records to ${file}.`);
    expect((JSON.parse(await readFile(file, 'utf8')) as unknown[])[2]).toEqual({
      ...{ id: 'train-2', image: '../a.png', split: 'train' },
      conversations: [
        { from: 'human', value: '<image>\nwhat time is it ?' },
        { from: 'gpt', value: '3 : 30' },
      ],
    });
    const { format: _1, written: _2, ...original } = await json('time_clock', folder);
    const { format: _3, written: _4, ...again } = await json('llava', file);
    expect(again).toEqual({ ...original, records: 3, broken: 0, faults: [] });
    // An existing file may be the only copy of its data.
    const twice = await data('time_clock', folder, '--to-llava', file);
    expect(twice).toMatchObject({ code: 1, stderr: `${file} exists already. Name another file, or remove it.\n` });
  });

  it('keeps the turns of a conversation together, and writes the pictures of a table', async () => {
    const turns = ['<image>\nIs it red?', 'yes', 'And blue?', 'no'].map((value, index) => ({
      ...{ from: index % 2 === 0 ? 'human' : 'gpt', value },
    }));
    await write({ 'a.json': JSON.stringify([{ image: 'a.png', conversations: turns }]), 'a.png': 10 });
    const copy = join(folder, 'copy.json');
    expect((await data('llava', join(folder, 'a.json'), '--to-llava', copy)).code).toBe(0);
    expect(JSON.parse(await readFile(copy, 'utf8'))).toEqual([{ id: 'a-1', image: 'a.png', conversations: turns }]);

    await mkdir(join(folder, 'table'));
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    const image = `{'bytes': unhex('${(await png(77)).toString('hex')}'), 'path': NULL::VARCHAR}`;
    await connection.run(
      `COPY (SELECT ${image} AS image, unnest(['is it?', 'what is it?']) AS question, 'a cell' AS answer) ` +
        `TO '${join(folder, 'table', 'train.parquet')}' (FORMAT parquet)`,
    );
    instance.closeSync();
    const file = join(folder, 'cells.json');
    expect((await data('path_vqa', join(folder, 'table'), '--to-llava', file)).code).toBe(0);
    const [first, second] = JSON.parse(await readFile(file, 'utf8')) as { image: string }[];
    expect(first!.image).toMatch(/^images\/[0-9a-f]{40}\.png$/);
    expect(second!.image).toBe(first!.image);
    expect(await readFile(join(folder, first!.image))).toEqual(await png(77));
    expect(await json('llava', file)).toMatchObject({ records: 2, pictures: 1, broken: 0 });
  });

  it('reads conversations of text, which have no pictures', async () => {
    await write({
      'train.jsonl': [
        { prompt: 'Spell cat.', answer: 'c-a-t' },
        { messages: [{ role: 'user', content: 'Hi' }] },
        { messages: ['Hi', 'Hello'].map((content, i) => ({ role: i === 0 ? 'user' : 'assistant', content })) },
      ],
    });
    const { code, stdout } = await data('conversations', folder);
    expect(code).toBe(1);
    expect(stdout).toContain('3 records, 1 broken\n0 pictures\n2 questions: 2 not divided\n');
    expect(stdout).toContain(`${join(folder, 'train.jsonl')}, record 2: it does not end with an answer. Remove`);
  });

  it('reads a long table completely, and writes nothing of a file that breaks off', async () => {
    const rows = 'a.png,is it ?,yes\n'.repeat(49_999);
    const file = join(folder, 'train.csv');
    const out = join(folder, 'out.json');
    const table = (row: string): Promise<void> =>
      write({ 'train.csv': `image,question,answer\n${rows}${row}\n${rows}`, 'a.png': 10 });

    await table('a.png,"what, then ?",no');
    expect(await json('path_vqa', file)).toMatchObject({ records: 99_999, broken: 0 });
    await table('a.png,what, then ?,no');
    expect(await json('path_vqa', file)).toMatchObject({ records: 99_999, broken: 1, faults: [{ line: 50_001 }] });
    await table('a.png,what "then" ?,no');
    const { code, stdout, stderr } = await data('path_vqa', file, '--to-llava', out);
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(/train\.csv cannot be read as a table: .*line 50001/);
    expect(await readdir(folder)).toEqual(['a.png', 'train.csv']);
  });

  it.each([
    ['a format that is none', 2, ['coco', '.'], /There is no format "coco"; there are cub_200, .*llava/],
    ['a path that is none', 1, ['llava', '/nowhere/a.json'], /There is no \/nowhere\/a\.json\. Name the folder/],
    [
      'a file in a folder that is none',
      1,
      ['llava', '.', '--to-llava', '/nowhere/a.json'],
      /There is no folder \/nowhere/,
    ],
    ['a limit that is none', 2, ['llava', '.', '--limit', 'many'], /A whole number of 0 or more/],
  ] as const)('refuses %s', async (_what, exitCode, args, message) => {
    const { code, stderr } = await data(...args);
    expect(code).toBe(exitCode);
    expect(stderr).toMatch(message);
  });
  it('refuses a data set without a record', async () => {
    await write({ 'train.json': '[]' });
    expect((await data('llava', folder)).stderr).toMatch(/There is no record in /);
  });
});
