import type { FileHandle } from 'node:fs/promises';
import { DamagedFileError } from './damaged-file-error.js';

/** One read of the system takes at most 2 GiB. */
const bytesAtOnce = 1 << 28;

/**
 * Fills a buffer from a place in a file, which may lie beyond 4 GiB.
 * @param path for the message
 * @throws DamagedFileError when the file ends before: it was cut meanwhile
 */
export async function fill(file: FileHandle, path: string, bytes: Uint8Array, from: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    const length = Math.min(bytesAtOnce, bytes.length - done);
    const { bytesRead } = await file.read(bytes, done, length, from + done);
    if (bytesRead === 0)
      throw new DamagedFileError(
        `${path} ends at byte ${from + done}: it was cut short while it was open. Download or copy the file again.`,
      );
    done += bytesRead;
  }
}
