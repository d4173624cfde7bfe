import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Replaces a file atomically: after a power cut it has the new content or the old one. */
export async function writeDurably(path: string, content: Buffer | string): Promise<void> {
  const file = await open(`${path}.writing`, 'w', 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(`${path}.writing`, path);
  await syncFolder(dirname(path));
}

/** Syncs a folder: a new file survives a power cut only once its folder is on disk too. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  await handle.sync().finally(() => handle.close());
}
