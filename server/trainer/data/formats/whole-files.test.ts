import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readRecords } from './record-file.js';
import { DataError } from './record.js';

/* A file is either read whole or refused with the place of the fault: for each type of file and any place. */

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'plumbline-whole-files-'));
});
afterAll(() => rm(folder, { recursive: true }));

const rows = 60_000;
/** Positions after the sample from which a reader guesses the dialect, and far after its first chunk. */
const positions = { 'the first row': 1, 'row 50,000': 50_000, 'the last row': rows };

interface Verdict {
  /** The number of records that were read. */
  whole: number;
  broken: string[];
  /** The reason why reading stopped. */
  refused?: string;
}
async function verdictOn(file: string): Promise<Verdict> {
  const verdict: Verdict = { whole: 0, broken: [] };
  try {
    for await (const record of readRecords(file))
      if (record instanceof DataError) verdict.broken.push(record.message);
      else verdict.whole++;
  } catch (error) {
    verdict.refused = (error as Error).message;
  }
  return verdict;
}

/** A text file of rows with one odd row. */
interface TextType {
  head: string[];
  row: string;
  /** The separator of rows. */
  between: string;
  end: string;
}
const types: Record<'csv' | 'tsv' | 'json' | 'jsonl', TextType> = {
  csv: { head: ['image,question,answer'], row: 'a.jpg,is it ?,yes', between: '\n', end: '\n' },
  tsv: { head: ['image\tquestion\tanswer'], row: 'a.jpg\tis it ?\tyes', between: '\n', end: '\n' },
  json: { head: ['['], row: '{"image": "a.jpg", "question": "is it ?"}', between: ',\n', end: ']' },
  jsonl: { head: [], row: '{"image": "a.jpg", "question": "is it ?"}', between: '\n', end: '\n' },
};
type TypeName = keyof typeof types;

async function written(type: TypeName, at: number, odd: string | Buffer, mark = ''): Promise<string> {
  const { head, row, between, end } = types[type];
  const file = join(folder, `train.${type}`);
  const some = (count: number): string => `${row}${between}`.repeat(count);
  const last = at === rows;
  const before = `${mark}${head.map((line) => `${line}\n`).join('')}${some(at - 1)}`;
  const after = last ? end : `${between}${some(rows - at - 1)}${row}${end}`;
  await writeFile(file, Buffer.concat([Buffer.from(before), Buffer.from(odd), Buffer.from(after)]));
  return file;
}

/** A row, and the expected verdict for it at a position. */
interface Case {
  what: string;
  odd: string | Buffer;
  verdict: (at: number) => { whole?: number; broken?: RegExp[]; refused?: RegExp };
}
const isWhole = () => ({ whole: rows });
const notUtf8 = (line: (at: number) => number) => (at: number) => ({
  refused: new RegExp(`is not UTF-8 at byte \\d+, in line ${line(at)}\\. Save it as UTF-8`),
});
const badQuote = (at: number) => ({ refused: new RegExp(`cannot be read as a table: .*line ${at + 1}\\b`) });
const cases: Record<TypeName, Case[]> = {
  csv: [
    { what: 'a quoted field', odd: 'a.jpg,"what, ""then"" ?",no', verdict: isWhole },
    { what: 'a quoted line break', odd: 'a.jpg,"what\nthen ?",no', verdict: isWhole },
    { what: 'a carriage return', odd: 'a.jpg,is it ?,yes\r', verdict: isWhole },
    {
      what: 'a comma too many',
      odd: 'a.jpg,what, then ?,no',
      verdict: (at) => ({
        whole: rows - 1,
        broken: [new RegExp(`record ${at} \\(line ${at + 1}\\): it has 4 fields, and the header has 3`)],
      }),
    },
    { what: 'a field too few', odd: 'a.jpg,no', verdict: () => ({ whole: rows - 1, broken: [/it has 2 fields/] }) },
    { what: 'a quote inside a field', odd: 'a.jpg,5" wide,no', verdict: badQuote },
    { what: 'text behind a quote', odd: 'a.jpg,"what" then,no', verdict: badQuote },
    {
      what: 'a quote that stays open',
      odd: 'a.jpg,"what then,no',
      verdict: () => ({ refused: /as a table: Quote Not/ }),
    },
    { what: 'Latin-1', odd: Buffer.from('a.jpg,is it café ?,yes', 'latin1'), verdict: notUtf8((at) => at + 1) },
  ],
  tsv: [
    { what: 'commas', odd: 'a.jpg\twhat, then, now ?\tno', verdict: isWhole },
    {
      what: 'a tab too many',
      odd: 'a.jpg\twhat\tthen\tno',
      verdict: () => ({ whole: rows - 1, broken: [/4 fields/] }),
    },
    { what: 'Latin-1', odd: Buffer.from('a.jpg\tis it café ?\tyes', 'latin1'), verdict: notUtf8((at) => at + 1) },
  ],
  json: [
    { what: 'other characters', odd: '{"image": "a.jpg", "question": "是 \\ud83d ] } \\" ?"}', verdict: isWhole },
    {
      what: 'a value that is missing',
      odd: '{"image": }',
      verdict: (at) => ({
        whole: at - 1,
        refused: at === 1 ? /is not JSON \(.*first record\)/ : new RegExp(`is not JSON \\(.*after record ${at - 1}\\)`),
      }),
    },
    { what: 'a comma too many', odd: '{"image": "a.jpg"},', verdict: (at) => ({ whole: at, refused: /is not JSON/ }) },
    {
      what: 'a bracket too early',
      odd: '{"image": "a.jpg"}]',
      verdict: (at) => ({ whole: at, refused: /is not JSON/ }),
    },
    { what: 'Latin-1', odd: Buffer.from('{"question": "café ?"}', 'latin1'), verdict: notUtf8((at) => at + 1) },
  ],
  jsonl: [
    { what: 'other characters', odd: '{"image": "是 \u2028 ?"}', verdict: isWhole },
    {
      what: 'a value that is missing',
      odd: '{"image": }',
      verdict: (at) => ({ whole: rows - 1, broken: [new RegExp(`record ${at}: this is not JSON`)] }),
    },
    { what: 'Latin-1', odd: Buffer.from('{"question": "café ?"}', 'latin1'), verdict: notUtf8((at) => at) },
  ],
};
const table = Object.entries(cases).flatMap(([type, faults]) =>
  faults.flatMap((each) =>
    Object.entries(positions).map(([where, at]) => [each.what, where, type as TypeName, at, each] as const),
  ),
);

describe('a file of text', () => {
  it.each(table)('with %s in %s: %s', async (_what, _where, type, at, { odd, verdict }) => {
    const found = await verdictOn(await written(type, at, odd));
    const { whole, broken = [], refused } = verdict(at);
    if (refused) expect(found.refused).toMatch(refused);
    else expect(found.refused).toBeUndefined();
    if (whole !== undefined) expect(found.whole).toBe(whole);
    expect(found.broken).toHaveLength(broken.length);
    for (const [index, message] of broken.entries()) expect(found.broken[index]).toMatch(message);
  });

  it.each(Object.keys(types) as TypeName[])('may begin with a byte order mark: %s', async (type) => {
    const file = await written(type, 2, types[type].row, '\uFEFF');
    expect(await verdictOn(file)).toEqual({ whole: rows, broken: [] });
    const first = await readRecords(file).next();
    expect(first.value).toMatchObject({ record: 1, value: { image: 'a.jpg', question: 'is it ?' } });
  });

  it('ends too early: a list of JSON that was cut', async () => {
    const file = await written('json', 1, types.json.row);
    const all = await readFile(file);
    for (const cut of [1, 2, 10, 1000]) {
      await writeFile(file, all.subarray(0, all.length - cut));
      expect((await verdictOn(file)).refused).toMatch(/is not JSON \(it ends too early, after record \d+\)/);
    }
  });
});

describe('a CSV table', () => {
  const values = async (text: string, name = 'a.csv'): Promise<unknown[]> => {
    await writeFile(join(folder, name), text);
    const read: unknown[] = [];
    for await (const record of readRecords(join(folder, name)))
      read.push(record instanceof DataError ? record.message : record.value);
    return read;
  };
  it.each([',', ';', '\t', '|'])('takes its separator from the header: %j', async (separator) => {
    expect(await values(`x${separator}y\n1${separator}2\n`)).toEqual([{ x: '1', y: '2' }]);
  });
  it('has null for an empty field, and no record for an empty line', async () => {
    expect(await values('x,y\n1,\n\n,""\n')).toEqual([
      { x: '1', y: null },
      { x: null, y: null },
    ]);
  });
  it('is refused with two columns of the same name', async () => {
    await expect(values('x,x\n1,2\n')).rejects.toThrow(/a\.csv has two columns "x"\. Give each a different name/);
  });
});

describe('a Parquet table', () => {
  it('is refused for damage at any place, and otherwise whole', async () => {
    const file = join(folder, 'a.parquet');
    const instance = await DuckDBInstance.create(':memory:');
    const connection = await instance.connect();
    await connection.run(
      `COPY (SELECT i AS n, repeat('x', 100) || i AS question FROM range(${rows}) t(i)) TO '${file}' ` +
        '(FORMAT parquet, ROW_GROUP_SIZE 4096)',
    );
    instance.closeSync();
    const all = await readFile(file);
    expect(await verdictOn(file)).toEqual({ whole: rows, broken: [] });
    for (const part of [0.05, 0.5, 0.8, 0.9]) {
      const at = Math.floor(all.length * part);
      const damaged = Buffer.from(all);
      for (let byte = at; byte < at + 400; byte++) damaged[byte]! ^= 0x5a;
      await writeFile(file, damaged);
      const { refused } = await verdictOn(file);
      expect([part, refused]).toEqual([part, expect.stringMatching(/a\.parquet cannot be read as a table: /)]);
    }
  });
});
