import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeBackup, restoreBackup, type RestoreTarget } from './backup.js';

let folder: string;
const storeFile = 'store.duckdb';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-backup-files-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const write = (path: string, text: string): void => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
};
const into = (dataDir: string, releaseRuns: RestoreTarget['releaseRuns'] = async () => {}) => ({
  dataDir,
  storeFile,
  releaseRuns,
});
const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** A backup folder with these files, whose manifest lists them correctly. */
function crafted(files: Record<string, string>): string {
  const backup = join(folder, 'backup');
  for (const [path, text] of Object.entries(files)) write(join(backup, path), text);
  list(backup, Object.entries(files));
  return backup;
}
function list(backup: string, files: [path: string, text: string][]): void {
  const listed = files.map(([path, text]) => ({ path, bytes: text.length, sha256: sha256(text) }));
  write(join(backup, 'backup.json'), JSON.stringify({ format: 'plumbline-backup-1', createdMs: 7, files: listed }));
}
const whole = { [storeFile]: 'the store', 'runs/run-a/checkpoints/step-1/model.safetensors': 'weights' };

describe('a backup', () => {
  it('is restored unchanged', async () => {
    const data = join(folder, 'data');
    for (const [path, text] of Object.entries({ ...whole, sessions: 'x', 'trainer-token': 'y' }))
      write(join(data, path), text);
    const backup = join(folder, 'backup');
    const copyStore = (path: string): Promise<void> => Promise.resolve(write(path, 'the store'));
    expect(await makeBackup({ dataDir: data, storeFile, copyStore }, backup)).toMatchObject({ files: 2 });
    const restored = join(folder, 'restored');
    await restoreBackup(backup, into(restored));
    for (const [path, text] of Object.entries(whole)) expect(readFileSync(join(restored, path), 'utf8')).toBe(text);
    expect(existsSync(join(restored, 'sessions'))).toBe(false);
  });

  it('holds no secret of a trainer', async () => {
    const data = join(folder, 'data');
    const inside = 'runs/run-a/checkpoints/trainer-secret';
    for (const path of [...Object.keys(whole), 'runs/run-a/trainer-secret', inside]) write(join(data, path), 'x');
    const backup = join(folder, 'backup');
    await makeBackup({ dataDir: data, storeFile, copyStore: (path) => Promise.resolve(write(path, 'store')) }, backup);
    expect(existsSync(join(backup, 'runs/run-a/trainer-secret'))).toBe(false);
    // A checkpoint may be named as it is.
    expect(existsSync(join(backup, inside))).toBe(true);
  });

  it('of an older version is restored without the secrets of trainers, and its runs are open to any trainer', async () => {
    const backup = crafted({ ...whole, 'runs/run-a/trainer-secret': 'x' });
    const restored = join(folder, 'restored');
    const released: string[] = [];
    await restoreBackup(
      backup,
      into(restored, async (path) => void released.push(path)),
    );
    expect(existsSync(join(restored, 'runs/run-a/trainer-secret'))).toBe(false);
    expect(released).toEqual([join(restored, storeFile)]);
  });

  it('whose runs cannot be released leaves nothing behind', async () => {
    const restored = join(folder, 'restored');
    const fails = () => Promise.reject(new Error('no room'));
    await expect(restoreBackup(crafted(whole), into(restored, fails))).rejects.toThrow('no room');
    expect(readdirSync(restored)).toEqual([]);
  });

  it.each([
    'sessions',
    'links',
    'trainer-token',
    'hub-address',
    'spool/run-a',
    `sub/${storeFile}`,
    `./${storeFile}`,
    `${storeFile}.wal`,
    'runs',
    'runs/',
    'runs/../sessions',
    'runs/run-a/../../sessions',
    'runs/run-a/./x',
    'runs/run-a//x',
    'runs/run-a/',
    'runs/run-a/a\u0000b',
    '/etc/passwd',
    '',
  ])('that lists %j is refused, and nothing is written', async (path) => {
    const backup = crafted(whole);
    list(backup, [...Object.entries(whole), [path, 'x']]);
    const target = join(folder, 'target');
    await expect(restoreBackup(backup, into(target))).rejects.toThrow(
      /lists ".*", which does not belong in a backup\. Choose/,
    );
    expect(existsSync(target)).toBe(false);
  });

  it('that lists a file twice, or no store, is refused', async () => {
    const backup = crafted(whole);
    const target = join(folder, 'target');
    list(backup, [...Object.entries(whole), ...Object.entries(whole)]);
    await expect(restoreBackup(backup, into(target))).rejects.toThrow(/lists "store\.duckdb", twice/);
    list(backup, Object.entries(whole).slice(1));
    await expect(restoreBackup(backup, into(target))).rejects.toThrow(/lists no store\.duckdb/);
    expect(existsSync(target)).toBe(false);
  });

  it.each(['a file', 'a folder'])('that has a link to %s is refused', async (what) => {
    const backup = crafted(whole);
    write(join(folder, 'outside/secret'), 'secret');
    if (what === 'a file') symlinkSync(join(folder, 'outside/secret'), join(backup, 'runs/run-a/secret'));
    else symlinkSync(join(folder, 'outside'), join(backup, 'runs/run-a/out'));
    const path = what === 'a file' ? 'runs/run-a/secret' : 'runs/run-a/out/secret';
    list(backup, [...Object.entries(whole), [path, 'secret']]);
    const target = join(folder, 'target');
    await expect(restoreBackup(backup, into(target))).rejects.toThrow(/is not a plain file/);
    expect(existsSync(target)).toBe(false);
  });

  it('leaves out files that are not listed', async () => {
    const backup = crafted(whole);
    write(join(backup, 'sessions'), 'x');
    write(join(backup, 'runs/run-a/hidden'), 'x');
    const target = join(folder, 'target');
    expect(await restoreBackup(backup, into(target))).toBe(7);
    expect([existsSync(join(target, 'sessions')), existsSync(join(target, 'runs/run-a/hidden'))]).toEqual([
      false,
      false,
    ]);
  });
});
