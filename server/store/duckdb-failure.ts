import { dirname, resolve } from 'node:path';
import { diskRemedy } from './disk-remedies.js';
import { StoreInUseError, StoreUnavailableError } from './event-store.js';

/** The command that salvages the store in this file. */
export const repairCommand = (path: string): string =>
  `npm run plumbline -- repair --data-dir ${dirname(resolve(path))}`;

/** Explains a failure of the file and what an operator can do about it. */
export function explain(error: unknown, path: string): StoreUnavailableError {
  if (error instanceof StoreUnavailableError) return error;
  const cause = withoutStack(error);
  if (/lock on file|Conflicting lock/i.test(cause))
    return new StoreInUseError(`Another hub has ${path} open. Stop it, or choose another --data-dir.`, {
      cause: error,
    });
  const advice = diskRemedy(cause, path) ?? remedies.find(([pattern]) => pattern.test(cause))?.[1](path);
  return new StoreUnavailableError(advice ? `${advice} (${cause})` : `The store ${path} failed: ${cause}`, {
    cause: error,
  });
}

/** The message of an error, without the native stack trace that DuckDB adds to internal errors. */
export const withoutStack = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split(/\s*\n\s*Stack Trace:/)[0]!.trim();

export const isOutOfMemory = (error: unknown): boolean =>
  error instanceof Error && /Out of Memory/i.test(error.message);

const remedies: [RegExp, (path: string) => string][] = [
  [
    /Out of Memory/i,
    (path) => `There is no memory to write ${path}. Give the hub more (PLUMBLINE_MEMORY_MB): it goes on by itself.`,
  ],
  [
    /EISDIR|Is a directory/i,
    (path) =>
      `${path} or its .wal is a folder, not a file. Move the folder away and put the file back, or restore a backup.`,
  ],
  [
    /version number|newer version|created with an older|storage version/i,
    (path) =>
      `${path} was written by another version of the store. Start the version of Plumbline that wrote it, or restore a backup.`,
  ],
  [
    /not a valid DuckDB|corrupt|checksum|deseriali|replaying WAL|Serialization|not read enough bytes/i,
    (path) =>
      `${path} is damaged. Leave its files where they are, stop the hub and let this command save what is intact; nothing is ` +
      `deleted: ${repairCommand(path)}`,
  ],
];
