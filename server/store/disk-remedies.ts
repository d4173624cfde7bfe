/**
 * Advice for an operating system error on a file or folder, also in DuckDB's wording.
 * @returns null for errors of other kinds
 */
export function diskRemedy(cause: string, path: string): string | null {
  return remedies.find(([pattern]) => pattern.test(cause))?.[1](path) ?? null;
}

const remedies: [RegExp, (path: string) => string][] = [
  [
    /EFBIG|File too large/i,
    (path) =>
      `A limit on the size of files keeps ${path} from growing (\`ulimit -f\`, LimitFSIZE of systemd, or the file ` +
      'system). The disk need not be full. Raise the limit and start the hub again.',
  ],
  [
    /EDQUOT|quota exceeded/i,
    (path) =>
      `The disk quota of the user that runs the hub is used up, so ${path} cannot grow. Free some space or raise the quota: ` +
      'the hub goes on by itself.',
  ],
  [
    /No space left|ENOSPC|disk.*full/i,
    (path) => `The disk of ${path} is full. Free some space: the hub goes on by itself.`,
  ],
  [
    /EROFS|read-only file system/i,
    (path) =>
      `${path} lies on a file system that is read-only. One that was not before has often met an error: see \`dmesg\`. ` +
      'Mount it for writing, or choose another --data-dir.',
  ],
  [
    /EMFILE|ENFILE|Too many open files/i,
    (path) =>
      `${path} cannot be opened: the hub has reached its limit of open files and connections. Raise the limit ` +
      '(`ulimit -n`, LimitNOFILE of systemd) and start the hub again.',
  ],
  [
    /EIO\b|Input\/output error/i,
    (path) =>
      `The disk of ${path} fails to read or write. See \`dmesg\`, and copy the data folder to another disk before ` +
      'anything else.',
  ],
  [
    /EACCES|EPERM|Permission denied|read-only/i,
    (path) => `${path} cannot be written. Make its folder writable, or choose another --data-dir.`,
  ],
];
