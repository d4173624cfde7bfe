import { existsSync, statSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { z } from 'zod';
import type { Split } from '../task.js';

/** A data set on disk. */
export interface DataSet {
  /** The folder that it lies in, in its own layout; or one file of records. */
  path: string;
  /** The folder of its pictures, where they lie elsewhere than the layout has them. */
  images?: string | undefined;
}

/** The folder that a data set lies in. */
export const folderOf = ({ path }: DataSet): string =>
  statSync(path, { throwIfNoEntry: false })?.isFile() ? dirname(path) : path;

/** Where something stands in a data set; records count from 1 (lines of a JSONL or text file, rows of a table). */
export interface Place {
  file: string;
  record: number;
}
export interface FileRecord extends Place {
  value: unknown;
}

/** What is wrong with a record, and what to do about it. */
export class DataError extends Error {
  constructor(
    readonly place: Place,
    readonly wrong: string,
    readonly todo: string,
  ) {
    super(`${place.file}, record ${place.record}: ${wrong}. ${todo}`);
  }
}

/**
 * A record as its schema has it.
 * @param layout a sentence that says what such a record holds
 * @throws DataError with the place and the first thing that is wrong
 */
export function parseRecord<T>(schema: z.ZodType<T>, record: FileRecord, layout: string): T {
  const parsed = schema.safeParse(record.value);
  if (parsed.success) return parsed.data;
  const { path, message } = parsed.error.issues[0]!;
  throw new DataError(record, path.length > 0 ? `"${path.join('.')}": ${message}` : message, layout);
}

export const recordFileTypes = ['.jsonl', '.json', '.parquet', '.csv'] as const;

/**
 * The records of a file, one after the other: a JSON array, JSON lines, a Parquet table or a CSV table with a head.
 * @param within the key of a JSON file's object that holds the array
 * A line of JSON lines that is broken comes as its error, and those after it are read all the same.
 * @throws Error naming the file and what to do when it cannot be read
 */
export async function* readRecords(file: string, within?: string): AsyncGenerator<FileRecord | DataError> {
  const type = extname(file).toLowerCase();
  if (type === '.parquet' || type === '.csv') return yield* readTable(file);
  const text = await readFile(file, 'utf8');
  if (type === '.jsonl') {
    let record = 0;
    for (const line of text.split('\n')) {
      record++;
      if (line.trim() !== '') yield parseJson(line, { file, record });
    }
    return;
  }
  const parsed = parseJson(text, { file, record: 1 });
  if (parsed instanceof DataError) throw new Error(`${file}: ${parsed.wrong}. ${parsed.todo}`);
  const whole = parsed.value as Record<string, unknown> | null;
  const records: unknown = within === undefined ? whole : whole?.[within];
  if (!Array.isArray(records))
    throw new Error(`${file} holds no list of records${within === undefined ? '' : ` under "${within}"`}.`);
  for (const [index, value] of records.entries()) yield { file, record: index + 1, value };
}

function parseJson(text: string, place: Place): FileRecord | DataError {
  try {
    return { ...place, value: JSON.parse(text) as unknown };
  } catch (error) {
    return new DataError(place, `this is not JSON (${(error as Error).message})`, 'Mend it, or take the file anew.');
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

export interface SplitRecord extends FileRecord {
  split: Split | undefined;
}

/** The records of a data set that is rows, in files as `splitFiles` finds them. */
export async function* splitRecords(path: string): AsyncGenerator<SplitRecord | DataError> {
  for (const { file, split } of await splitFiles(path))
    for await (const record of readRecords(file)) yield record instanceof DataError ? record : { ...record, split };
}

/**
 * The record files of a folder (or of `data` in it, where the hub has them), or the one file, each with the split that its name tells:
 * `train`, and for evaluation `eval`, `validation` or `test`, of which the first that is there is taken. Where no file
 * is for evaluation the split is undefined, and `loadTask` divides the pictures.
 * @throws Error when there is none, or when there are files of two types
 */
export async function splitFiles(path: string): Promise<{ file: string; split: Split | undefined }[]> {
  const isRecordFile = (file: string): boolean => recordFileTypes.some((type) => file.toLowerCase().endsWith(type));
  const files = (await filesIn(path)).filter(isRecordFile);
  const types = [...new Set(files.map((file) => extname(file).toLowerCase()))];
  if (types.length === 0)
    throw new Error(`${path} holds no file of records. Put one there: ${recordFileTypes.join(', ')}.`);
  if (types.length > 1)
    throw new Error(`${path} holds records as ${types.join(' and ')}. Keep one of them: they may be the same records.`);

  const evaluationName = evaluationNames.find((name) => files.some((file) => name.test(basename(file))));
  if (!evaluationName) return files.map((file) => ({ file, split: undefined }));
  return files.flatMap((file): { file: string; split: Split }[] => {
    if (evaluationName.test(basename(file))) return [{ file, split: 'evaluation' }];
    return evaluationNames.some((name) => name.test(basename(file))) ? [] : [{ file, split: 'train' }];
  });
}

/** The files of a folder and of `data` in it; of a file, itself. */
async function filesIn(path: string): Promise<string[]> {
  if (!existsSync(path))
    throw new Error(`There is no ${path}. Name the folder of the data set, or its file of records.`);
  if (statSync(path).isFile()) return [path];
  const folders = [path, join(path, 'data')].filter((folder) => existsSync(folder));
  const listed = await Promise.all(
    folders.map(async (folder) => (await readdir(folder)).sort().map((name) => join(folder, name))),
  );
  return listed.flat();
}
