import { readdirSync, readlinkSync, realpathSync, statSync, type Stats } from 'node:fs';
import { headersBytes } from './duckdb-format.js';

/**
 * Notices that the files of an open DuckDB database were deleted or replaced: DuckDB goes on with what it has open, and
 * would commit to files that are in no folder any more. Looking costs two calls of `stat`.
 */
export class OpenFiles {
  readonly #main: Stats;
  /** The write-ahead log, as last seen. DuckDB removes it at each checkpoint and makes a new one later. */
  #log: Stats | undefined;

  /** @param path of a database that this process has just opened */
  constructor(readonly path: string) {
    this.#main = statSync(path);
    this.#log = stat(`${path}.wal`);
  }

  /** What has happened to the files, or null. What has, stays: a file that is put back is not the one that is open. */
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

  /** Whether this process writes to a log that is at its place no more. Known on Linux only. */
  #hasLostLog(): boolean {
    const deleted = `${realpathSync(this.path)}.wal (deleted)`;
    return openFiles().some(({ link, stats }) => link === deleted || (this.#log && isOneFile(stats, this.#log)));
  }
}

/** What the file descriptors of this process stand for; empty where the system does not tell. */
function openFiles(): { link: string; stats: Stats }[] {
  const folder = '/proc/self/fd';
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    // There is no such folder, or no descriptor left to read it with.
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
/** A number is used again once its file is deleted; the moment of its creation tells the two apart. */
const isOneFile = (a: Stats, b: Stats): boolean => isSame(a, b) && a.birthtimeMs === b.birthtimeMs && a.birthtimeMs > 0;
