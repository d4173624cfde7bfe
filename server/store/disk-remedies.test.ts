import { describe, expect, it } from 'vitest';
import { diskRemedy } from './disk-remedies.js';

describe('the advice for a disk error', () => {
  it.each([
    ['EFBIG: file too large, write', /limit on the size of files.*ulimit -f/],
    ['Could not write file "x": File too large', /limit on the size of files/],
    ['ENOSPC: no space left on device, write', /disk of .* is full/],
    ['Could not write file "x": No space left on device', /disk of .* is full/],
    ['EDQUOT: disk quota exceeded, write', /quota of the user/],
    ['Could not write file "x": Disk quota exceeded', /quota of the user/],
    ['EROFS: read-only file system, open', /file system that is read-only/],
    ['Cannot open file "x": Read-only file system', /file system that is read-only/],
    ['EMFILE: too many open files, open', /reached its limit of open files and connections/],
    ['Cannot open file "x": Too many open files', /reached its limit of open files and connections/],
    ['EIO: i/o error, write', /fails to read or write/],
    ['Could not read from file "x": Input/output error', /fails to read or write/],
    ['EACCES: permission denied, open', /cannot be written/],
    ['Cannot open file "x": Permission denied', /cannot be written/],
  ])('%s', (cause, advice) => {
    expect(diskRemedy(cause, '/data/plumbline.duckdb')).toMatch(advice);
  });

  it('is absent for other errors', () => {
    expect(diskRemedy('IO Error: Corrupt database file', '/data/plumbline.duckdb')).toBeNull();
  });
});
