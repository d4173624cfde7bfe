import { mkdir, open, rename, rm, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * Writes a file atomically: it gets its name only once all of it is on disk. Makes missing folders and replaces an
 * existing file.
 * @param mode file permissions, by default 0o666 less the umask
 * @throws the file system's errors; an existing file then stays as it was
 */
export async function writeWhole(path: string, content: string | Uint8Array, mode?: number): Promise<void> {
  await writeWholeFrom(path, (file) => file.writeFile(content), mode);
}

/**
 * Like `writeWhole`, of content that is made bit by bit.
 * @param write writes it all
 * @returns what `write` returns
 */
export async function writeWholeFrom<T>(
  path: string,
  write: (file: FileHandle) => Promise<T>,
  mode?: number,
): Promise<T> {
  const beside = `${path}.writing`;
  await mkdir(dirname(path), { recursive: true });
  try {
    const file = await open(beside, 'w', mode);
    let result: T;
    try {
      result = await write(file);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(beside, path);
    return result;
  } finally {
    await rm(beside, { force: true });
  }
}
