import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { RunId } from '@plumbline/shared/run';

/** What a built-in trainer leaves of a run in a data folder: checkpoints, its log, what no hub took of it. */
export function runFolder(dataDir: string, runId: RunId): string {
  // Whatever the type says: no other name may lead out of the folder of runs.
  return join(dataDir, 'runs', RunId.parse(runId));
}

/**
 * Removes the folder of a run and nothing else: a link in it, or in its place, goes, and what it leads to stays.
 * @returns bytes of the files that were in it; 0 where there is none
 * @throws Error of the file system, when some of it is left
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
