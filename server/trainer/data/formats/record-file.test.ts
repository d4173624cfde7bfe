import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { splitFiles } from './data-set.js';
import { readRecords } from './record-file.js';
import { DataError, type FileRecord } from './record.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plumbline-records-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function read(name: string, content: string, within?: string): Promise<FileRecord[]> {
  await writeFile(join(folder, name), content);
  const records: FileRecord[] = [];
  for await (const record of readRecords(join(folder, name), within)) {
    if (record instanceof DataError) throw record;
    records.push(record);
  }
  return records;
}

describe('records of a file', () => {
  it('are the items of a JSON array, also inside an object', async () => {
    const file = join(folder, 'a.json');
    expect(await read('a.json', '[{"x": 1}, {"x": 2}]')).toEqual([
      { file, record: 1, value: { x: 1 } },
      { file, record: 2, value: { x: 2 } },
    ]);
    expect(await read('a.json', '{"data": [7]}', 'data')).toEqual([{ file, record: 1, value: 7 }]);
    await expect(read('a.json', '{"data": [7]}')).rejects.toThrow(/a\.json contains no list of records/);
    await expect(read('a.json', 'null', 'data')).rejects.toThrow(/no list of records under "data"/);
  });
  it('are the lines of JSON lines; numbers count empty ones', async () => {
    const records = await read('a.jsonl', '{"x": 1}\n\n{"x": 2}\n');
    expect(records.map(({ record, value }) => [record, value])).toEqual([
      [1, { x: 1 }],
      [3, { x: 2 }],
    ]);
    await expect(read('a.jsonl', '{"x": 1}\n{"x": ')).rejects.toThrow(/a\.jsonl, record 2: this is not JSON .*Fix it/);
  });
  it('continue after a broken line', async () => {
    await writeFile(join(folder, 'a.jsonl'), '{"x": 1}\n{"x": \n{"x": 3}\n');
    const read: unknown[] = [];
    for await (const record of readRecords(join(folder, 'a.jsonl')))
      read.push(record instanceof DataError ? record.place.record : record.value);
    expect(read).toEqual([{ x: 1 }, 2, { x: 3 }]);
  });
  it('are the rows of a CSV table, as text', async () => {
    const records = await read('a.csv', 'file_name,hour\n"a, b.png",3\nc.png,12\n');
    expect(records.map(({ record, value }) => [record, value])).toEqual([
      [1, { file_name: 'a, b.png', hour: '3' }],
      [2, { file_name: 'c.png', hour: '12' }],
    ]);
  });
  it('are refused if a file is not a table', async () => {
    await expect(read('a.parquet', 'hello')).rejects.toThrow(/a\.parquet cannot be read as a table: /);
  });
});

describe('the files of a split', () => {
  const splitsOf = async (...names: string[]): Promise<Record<string, string | undefined>> => {
    for (const name of names) {
      await mkdir(join(folder, name, '..'), { recursive: true });
      await writeFile(join(folder, name), '[]');
    }
    return Object.fromEntries((await splitFiles(folder)).map(({ file, split }) => [basename(file), split]));
  };
  it('are recognised by name, and the test set is unused beside a validation set', async () => {
    expect(await splitsOf('data/train-00000-of-00002.json', 'data/validation-0.json', 'data/test-0.json')).toEqual({
      'train-00000-of-00002.json': 'train',
      'validation-0.json': 'evaluation',
    });
  });
  it('are test files if there is no other evaluation file', async () => {
    expect(await splitsOf('cub200_train.json', 'cub200_test.json', 'notes.txt')).toEqual({
      'cub200_train.json': 'train',
      'cub200_test.json': 'evaluation',
    });
  });
  it('are unknown without such a name, and a part of a word does not count', async () => {
    expect(await splitsOf('retrieval.json', 'contest.json')).toEqual({
      'retrieval.json': undefined,
      'contest.json': undefined,
    });
  });
  it('are those of one file if a file is given', async () => {
    await writeFile(join(folder, 'a.json'), '[]');
    await writeFile(join(folder, 'b.jsonl'), '');
    expect(await splitFiles(join(folder, 'a.json'))).toEqual([{ file: join(folder, 'a.json'), split: undefined }]);
    await expect(splitFiles(join(folder, 'c.json'))).rejects.toThrow(/There is no .*c\.json\. Name the folder/);
  });
  it('are refused if there are none, or of two types', async () => {
    await expect(splitsOf('notes.txt')).rejects.toThrow(/contains no file of records. Put one there: .*\.jsonl/);
    await expect(splitsOf('a.json', 'a.jsonl')).rejects.toThrow(/records as \.json and \.jsonl. Keep one/);
  });
});
