import { readFileSync } from 'node:fs';
import { UsageError } from './usage-error.js';

/** File errors by the system's codes, worded to follow the file's name. */
const troubles: Record<string, string> = {
  ENOENT: 'is not there',
  ENOTDIR: 'is not there: a part of its path is a file',
  EISDIR: 'is a folder, not a file',
  EACCES: 'may not be used by this user',
  EPERM: 'may not be used by this user',
  EEXIST: 'is there already',
  ENOTEMPTY: 'is a folder that is not empty',
  ENOSPC: 'does not fit: the disk is full',
  EROFS: 'lies on a disk that is read-only',
  EMFILE: 'cannot be opened: this process has too many files open',
  ELOOP: 'is a link that leads back to itself',
  ENAMETOOLONG: 'has too long a name',
};

/** A file error in plain English; null for other errors. */
export function fileTrouble(error: unknown): string | null {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) return null;
  const trouble = troubles[String(error.code)];
  if (trouble === undefined) return null;
  return 'path' in error ? `${String(error.path)} ${trouble}.` : `A file ${trouble}.`;
}

/**
 * Reads a text file that a person names.
 * @param what its expected content: `the hub's trainer token`
 * @param todo a sentence that says where to get one
 * @throws UsageError saying what is wrong with the file, what it is for and what to do
 */
export function readGivenFile(path: string, what: string, todo: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const trouble = fileTrouble(error instanceof Error && 'syscall' in error ? Object.assign(error, { path }) : error);
    if (trouble === null) throw error;
    throw new UsageError(`The file for ${what} cannot be read: ${trouble} ${todo}`, { cause: error });
  }
}

/** The trainer token in a file. @throws UsageError as `readGivenFile`, and of an empty file */
export function readTokenFile(path: string): string {
  const todo = "It is the file trainer-token in the hub's data folder; copy it to this machine.";
  const token = readGivenFile(path, "the hub's trainer token", todo).trim();
  // The token is sent in a header. A text of several lines is some other file.
  if (!/^[\x21-\x7e]{1,200}$/.test(token)) throw new UsageError(`${path} holds no trainer token. ${todo}`);
  return token;
}
