import { dirname, resolve } from 'node:path';
import { diskRemedy } from './disk-remedies.js';
import { StoreInUseError, StoreUnavailableError } from './event-store.js';

/** The command that saves what can be saved of the store in this file. */
export const repairCommand = (path: string): string =>
  `npm run plumbline -- repair --data-dir ${dirname(resolve(path))}`;

/** Says what is wrong with the file and what a person can do about it. */
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

/** What an error says; DuckDB adds its own stack to an internal one, which helps nobody who runs a hub. */
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
      `${path} is damaged. Leave its files where they are, stop the hub and let it save what is whole; nothing is ` +
      `deleted: ${repairCommand(path)}`,
  ],
];
