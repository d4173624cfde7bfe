import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RunId } from '@plumbline/shared/run';

/** The folder of a built-in trainer's run in a data folder: checkpoints, its log, unsent events. */
export function runFolder(dataDir: string, runId: RunId): string {
  // Checks at run time, too: no id may lead out of the folder of runs.
  return join(dataDir, 'runs', RunId.parse(runId));
}

/**
 * Removes the folder of a run and nothing else. It removes links, but not their targets.
 * @returns the bytes of its files; 0 if there is no folder
 * @throws Error of the file system, if a part remains
 */
export async function removeRunFolder(dataDir: string, runId: RunId): Promise<number> {
  const folder = runFolder(dataDir, runId);
  const bytes = await bytesAt(folder);
  await rm(folder, { recursive: true, force: true });
  return bytes;
}

async function bytesAt(path: string): Promise<number> {
  const found = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return null;
  });
  if (!found?.isDirectory()) return found?.size ?? 0;
  const inside = await Promise.all((await readdir(path)).map((name) => bytesAt(join(path, name))));
  return inside.reduce((sum, bytes) => sum + bytes, 0);
}
