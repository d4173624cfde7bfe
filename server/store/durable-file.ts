import { open, rename } from 'node:fs/promises';
import { dirname } from 'node:path';

/** All of it is in the file after a power cut, or what was there before. */
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

/** A new file is only there after a power cut once its folder is on disk too. */
export async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  await handle.sync().finally(() => handle.close());
}
