import { existsSync, statSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import type { Split } from '../task.js';
import { readRecords, recordFileTypes } from './record-file.js';
import { DataError, type FileRecord } from './record.js';

/** A data set on disk. */
export interface DataSet {
  /** The folder of the data set in its own layout, or one file of records. */
  path: string;
  /** The folder of its pictures, if it differs from the layout's. */
  images?: string | undefined;
}

/** The folder of a data set. */
export const folderOf = ({ path }: DataSet): string =>
  statSync(path, { throwIfNoEntry: false })?.isFile() ? dirname(path) : path;

/** Words in a file's name that mark it as evaluation, best first: the test set is used only if there is no other. */
const evaluationNames = [
  /(^|[^a-z])eval(uation)?([^a-z]|$)/i,
  /(^|[^a-z])val(idation)?([^a-z]|$)/i,
  /(^|[^a-z])test([^a-z]|$)/i,
];

export interface SplitRecord extends FileRecord {
  split: Split | undefined;
}

/** The records of a data set of rows, from the files that `splitFiles` finds. */
export async function* splitRecords(path: string): AsyncGenerator<SplitRecord | DataError> {
  for (const { file, split } of await splitFiles(path))
    for await (const record of readRecords(file)) yield record instanceof DataError ? record : { ...record, split };
}

/**
 * The record files of a folder (or of `data` in it, as on the Hugging Face hub), or the one file, each with the split
 * from its name: `train`, and for evaluation the first of `eval`, `validation` and `test` that exists. Without a file
 * for evaluation the split is undefined, and `loadTask` divides the pictures.
 * @throws Error when there is none, or when there are files of two types
 */
export async function splitFiles(path: string): Promise<{ file: string; split: Split | undefined }[]> {
  const isRecordFile = (file: string): boolean => recordFileTypes.some((type) => file.toLowerCase().endsWith(type));
  const files = (await filesIn(path)).filter(isRecordFile);
  const types = [...new Set(files.map((file) => extname(file).toLowerCase()))];
  if (types.length === 0)
    throw new Error(`${path} contains no file of records. Put one there: ${recordFileTypes.join(', ')}.`);
  if (types.length > 1)
    throw new Error(
      `${path} contains records as ${types.join(' and ')}. Keep one of them: they may be the same records.`,
    );

  const evaluationName = evaluationNames.find((name) => files.some((file) => name.test(basename(file))));
  if (!evaluationName) return files.map((file) => ({ file, split: undefined }));
  return files.flatMap((file): { file: string; split: Split }[] => {
    if (evaluationName.test(basename(file))) return [{ file, split: 'evaluation' }];
    return evaluationNames.some((name) => name.test(basename(file))) ? [] : [{ file, split: 'train' }];
  });
}

/** The files of a folder and of `data` in it, or the file itself. */
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
