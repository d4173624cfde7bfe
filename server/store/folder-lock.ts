import { resolve, join } from 'node:path';
import { DuckDbFile } from './duckdb-file.js';
import { StoreInUseError } from './event-store.js';

/** Folders locked by this process: the operating system's lock keeps out other processes only. */
const heldHere = new Set<string>();

/**
 * Locks a folder for one process. Node has no file locks; DuckDB takes the operating system's lock on a file that it
 * opens, so an empty database serves as the lock. It ends with the process, never goes stale, and works between containers
 * on one machine, which process ids and sockets do not.
 */
export class FolderLock {
  private constructor(
    readonly folder: string,
    readonly file: DuckDbFile,
  ) {}

  /**
   * @param folder an existing folder
   * @throws StoreInUseError when it is locked already, StoreUnavailableError when the lock file cannot be opened
   */
  static async take(folder: string): Promise<FolderLock> {
    const path = resolve(folder);
    if (heldHere.has(path)) throw new StoreInUseError(`This process has ${path} open already.`);
    heldHere.add(path);
    const file = new DuckDbFile(join(path, 'lock.duckdb'), 'SELECT 1', () => Promise.resolve());
    try {
      await file.open();
    } catch (error) {
      heldHere.delete(path);
      throw error;
    }
    return new FolderLock(path, file);
  }

  async release(): Promise<void> {
    await this.file.close();
    heldHere.delete(this.folder);
  }
}
