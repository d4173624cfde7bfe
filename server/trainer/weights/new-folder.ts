import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const suffix = '.writing-';

/**
 * Writes a folder atomically: it is filled beside its place and gets its name once all of it is on disk. Never replaces
 * anything: an existing folder stays, unless it is empty. Two processes may write the same folder: the first wins.
 * @param fill writes the files
 * @returns whether the folder is this one: `false` when there was one with content
 * @throws the errors of `fill` and of the file system; nothing is left behind then
 */
export async function writeNewFolder(folder: string, fill: (temporary: string) => Promise<void>): Promise<boolean> {
  if ((await readdir(folder).catch(ifAbsent)).length > 0) return false;
  await mkdir(dirname(folder), { recursive: true });
  const temporary = folder + suffix + randomUUID().slice(0, 8);
  await mkdir(temporary);
  try {
    await fill(temporary);
    await syncAll(temporary);
    const isOurs = await rename(temporary, folder).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (['ENOTEMPTY', 'EEXIST'].includes(error.code ?? '')) return false;
        throw error;
      },
    );
    await syncFolder(dirname(folder));
    return isOurs;
  } finally {
    await rm(temporary, { recursive: true, force: true });
  }
}

/** Removes what writers of this folder left behind, which ended in the middle more than a day ago. */
export async function removeAbandoned(folder: string): Promise<void> {
  const before = Date.now() - 24 * 3600_000;
  for (const name of await readdir(dirname(folder)).catch(ifAbsent)) {
    if (!name.startsWith(basename(folder) + suffix)) continue;
    const path = join(dirname(folder), name);
    // Another process may have removed it meanwhile.
    const isOld = await stat(path).then(({ mtimeMs }) => mtimeMs < before, ifAbsent);
    if (isOld === true) await rm(path, { recursive: true, force: true });
  }
}

function ifAbsent(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENOENT') return [];
  throw error;
}

async function syncAll(folder: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) await syncAll(path);
    else if (entry.isFile()) await syncPath(path, 'r+');
  }
  await syncFolder(folder);
}

const syncFolder = (folder: string): Promise<void> => syncPath(folder, 'r');

async function syncPath(path: string, flags: string): Promise<void> {
  const opened = await open(path, flags);
  await opened.sync().finally(() => opened.close());
}
