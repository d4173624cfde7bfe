import { mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Writes a file that has its name only once all of it is on disk, in a folder that need not be there. One that is there
 * is replaced.
 * @param mode its rights, 0o666 less the umask when not given
 * @throws the file system's errors; what was there is then as it was
 */
export async function writeWhole(path: string, content: string | Uint8Array, mode?: number): Promise<void> {
  const beside = `${path}.writing`;
  await mkdir(dirname(path), { recursive: true });
  try {
    const file = await open(beside, 'w', mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
  } finally {
    await rm(beside, { force: true });
  }
}
