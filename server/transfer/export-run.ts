import { createWriteStream } from 'node:fs';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { jsonLines } from './jsonl-file.js';
import { openRunFile } from './open-run-file.js';
import { TransferError, type RunArchive } from './run-archive.js';
import { tableFormats, writeTableFolder } from './table-folder.js';

export const exportFormats = ['jsonl', ...tableFormats] as const;
export type ExportFormat = (typeof exportFormats)[number];

/**
 * Writes a run to a file (jsonl) or a folder (parquet, csv), which gets its name only once it is complete and on disk.
 * @param archive with its expected digest, if known
 * @param path must not exist
 * @returns the digest of the run
 */
export async function exportRun(
  archive: RunArchive & { digest?: string },
  format: ExportFormat,
  path: string,
): Promise<string> {
  await refuseTaken(path);
  const partial = partialPath(path);
  await mkdir(dirname(path), { recursive: true });
  await rm(partial, { recursive: true, force: true });
  try {
    if (format === 'jsonl') {
      await pipeline(Readable.from(jsonLines(archive)), createWriteStream(partial));
      await sync(partial);
    } else {
      await mkdir(partial);
      await writeTableFolder(archive, format, partial);
      for (const name of await readdir(partial)) await sync(join(partial, name));
    }
    const { digest } = await openRunFile(partial);
    if (archive.digest !== undefined && digest !== archive.digest)
      throw new TransferError(`The run ${archive.run.runId} was damaged on its way. Export it again.`);
    await rename(partial, path);
    return digest;
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}

/**
 * The path of an export: the given one, or a default name in an existing folder.
 * @throws TransferError when the path exists already
 */
export async function exportPath(runId: string, format: ExportFormat, out = '.'): Promise<string> {
  const name = format === 'jsonl' ? `${runId}.jsonl` : `${runId}-${format}`;
  const path = resolve((await kindOf(out)) === 'folder' ? join(out, name) : out);
  await refuseTaken(path);
  return path;
}

async function refuseTaken(path: string): Promise<void> {
  if (await kindOf(path)) throw new TransferError(`${path} is there already. Move it away, or choose another --out.`);
}

/** A hidden temporary name beside the path, on the same disk. */
export const partialPath = (path: string): string => join(dirname(path), `.${basename(path)}.partial-${process.pid}`);

async function kindOf(path: string): Promise<'folder' | 'file' | null> {
  try {
    return (await stat(path)).isDirectory() ? 'folder' : 'file';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
