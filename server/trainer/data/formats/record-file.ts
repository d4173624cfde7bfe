import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, extname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { z } from 'zod';
import type { Split } from '../task.js';

/** Where something stands in a data set; records count from 1 (lines of a JSONL or text file, rows of a table). */
export interface Place {
  file: string;
  record: number;
}
export interface FileRecord extends Place {
  value: unknown;
}

/** What is wrong where, and what to do about it. */
export const dataError = ({ file, record }: Place, wrong: string, todo: string): Error =>
  new Error(`${file}, record ${record}: ${wrong}. ${todo}`);

/**
 * A record as its schema has it.
 * @param layout a sentence that says what such a record holds
 * @throws Error with the place and the first thing that is wrong
 */
export function parseRecord<T>(schema: z.ZodType<T>, record: FileRecord, layout: string): T {
  const parsed = schema.safeParse(record.value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw dataError(record, path.length > 0 ? `"${path.join('.')}": ${message}` : message, layout);
}

export const recordFileTypes = ['.jsonl', '.json', '.parquet', '.csv'] as const;

/**
 * The records of a file, one after the other: a JSON array, JSON lines, a Parquet table or a CSV table with a head.
 * @param within the key of a JSON file's object that holds the array
 * @throws Error naming the file, the record and what to do when it cannot be read
 */
export async function* readRecords(file: string, within?: string): AsyncGenerator<FileRecord> {
  const type = extname(file).toLowerCase();
  if (type === '.parquet' || type === '.csv') return yield* readTable(file);
  const text = await readFile(file, 'utf8');
  if (type === '.jsonl') {
    let record = 0;
    for (const line of text.split('\n')) {
      record++;
      if (line.trim() !== '') yield { file, record, value: parseJson(line, { file, record }) };
    }
    return;
  }
  const whole = parseJson(text, { file, record: 1 });
  const records = within === undefined ? whole : (whole as Record<string, unknown> | null)?.[within];
  if (!Array.isArray(records))
    throw new Error(`${file} holds no list of records${within === undefined ? '' : ` under "${within}"`}.`);
  for (const [index, value] of records.entries()) yield { file, record: index + 1, value };
}

function parseJson(text: string, place: Place): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw dataError(place, `this is not JSON (${(error as Error).message})`, 'Mend it, or take the file anew.');
  }
}

/** Rows are read in chunks, so that a table with its pictures inside need not fit into memory. */
async function* readTable(file: string): AsyncGenerator<FileRecord> {
  const instance = await DuckDBInstance.create(':memory:', { threads: '1' });
  try {
    const connection = await instance.connect();
    const reader = file.toLowerCase().endsWith('.csv')
      ? 'read_csv($1, header = true, all_varchar = true)'
      : 'read_parquet($1)';
    const table = await connection.stream(`SELECT * FROM ${reader}`, [file]);
    let record = 0;
    for await (const rows of table.yieldRowObjectJs())
      for (const value of rows) yield { file, record: ++record, value };
  } catch (error) {
    throw new Error(`${file} cannot be read as a table: ${(error as Error).message}`, { cause: error });
  } finally {
    instance.closeSync();
  }
}

/** Words in a file's name that make it one of evaluation, best first: the test set is left alone where there is another. */
const evaluationNames = [
  /(^|[^a-z])eval(uation)?([^a-z]|$)/i,
  /(^|[^a-z])val(idation)?([^a-z]|$)/i,
  /(^|[^a-z])test([^a-z]|$)/i,
];

/**
 * The record files of a folder (or of `data` in it, where the hub has them), each with the split that its name tells:
 * `train`, and for evaluation `eval`, `validation` or `test`, of which the first that is there is taken. Where no file
 * is for evaluation the split is undefined, and `loadTask` divides the pictures.
 * @throws Error when there is none, or when there are files of two types
 */
export async function splitFiles(folder: string): Promise<{ file: string; split: Split | undefined }[]> {
  const folders = [folder, join(folder, 'data')].filter((path) => existsSync(path));
  const listed = await Promise.all(
    folders.map(async (path) => (await readdir(path)).sort().map((name) => join(path, name))),
  );
  const isRecordFile = (file: string): boolean => recordFileTypes.some((type) => file.toLowerCase().endsWith(type));
  const files = listed.flat().filter(isRecordFile);
  const types = [...new Set(files.map((file) => extname(file).toLowerCase()))];
  if (types.length === 0)
    throw new Error(`${folder} holds no file of records. Put one there: ${recordFileTypes.join(', ')}.`);
  if (types.length > 1)
    throw new Error(
      `${folder} holds records as ${types.join(' and ')}. Keep one of them: they may be the same records.`,
    );

  const evaluationName = evaluationNames.find((name) => files.some((file) => name.test(basename(file))));
  if (!evaluationName) return files.map((file) => ({ file, split: undefined }));
  return files.flatMap((file): { file: string; split: Split }[] => {
    if (evaluationName.test(basename(file))) return [{ file, split: 'evaluation' }];
    return evaluationNames.some((name) => name.test(basename(file))) ? [] : [{ file, split: 'train' }];
  });
}
