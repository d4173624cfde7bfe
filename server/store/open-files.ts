import { readdirSync, readlinkSync, realpathSync, statSync, type Stats } from 'node:fs';
import { headersBytes } from './duckdb-format.js';

/**
 * Notices that the files of an open DuckDB database were deleted or replaced. DuckDB would go on and commit to files that
 * are no longer in any folder. A check costs two `stat` calls.
 */
export class OpenFiles {
  readonly #main: Stats;
  /** The write-ahead log as last seen. DuckDB removes it at each checkpoint and creates a new one later. */
  #log: Stats | undefined;

  /** @param path a database that this process has just opened */
  constructor(readonly path: string) {
    this.#main = statSync(path);
    this.#log = stat(`${path}.wal`);
  }

  /** What happened to the files, or null. It cannot be undone: a file that is put back is not the open one. */
  fault(): string | null {
    const main = stat(this.path);
    if (!main) return `${this.path} was deleted or moved`;
    if (!isSame(main, this.#main)) return `${this.path} was replaced by another file`;
    if (main.size < headersBytes) return `${this.path} was cut to ${main.size} bytes`;
    const log = stat(`${this.path}.wal`);
    if (this.#log && log && isSame(log, this.#log)) return null;
    if (this.#hasLostLog()) return `${this.path}.wal was deleted, moved or replaced`;
    this.#log = log;
    return null;
  }

  /** Whether this process writes to a log that is no longer at its path. Known on Linux only. */
  #hasLostLog(): boolean {
    const deleted = `${realpathSync(this.path)}.wal (deleted)`;
    return openFiles().some(({ link, stats }) => link === deleted || (this.#log && isOneFile(stats, this.#log)));
  }
}

/** The files behind this process's descriptors; empty where the system does not say. */
function openFiles(): { link: string; stats: Stats }[] {
  const folder = '/proc/self/fd';
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    // The folder does not exist, or no descriptor is left to read it.
    return [];
  }
  return names.flatMap((name) => {
    try {
      return [{ link: readlinkSync(`${folder}/${name}`), stats: statSync(`${folder}/${name}`) }];
    } catch {
      // Closed since.
      return [];
    }
  });
}

const stat = (path: string): Stats | undefined => statSync(path, { throwIfNoEntry: false });
const isSame = (a: Stats, b: Stats): boolean => a.ino === b.ino && a.dev === b.dev;
/** Inode numbers are reused after deletion; the creation time tells two files apart. */
const isOneFile = (a: Stats, b: Stats): boolean => isSame(a, b) && a.birthtimeMs === b.birthtimeMs && a.birthtimeMs > 0;
