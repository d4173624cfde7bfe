import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { trainerToken } from './trainer-token.js';

const folders: string[] = [];
const newFolder = (): string => {
  folders.push(mkdtempSync(join(tmpdir(), 'plumbline-token-')));
  return folders.at(-1)!;
};
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

describe('the trainer token', () => {
  it('is made once, for its owner only, and nothing else is left in the folder', () => {
    const folder = newFolder();
    const token = trainerToken(folder);
    expect(trainerToken(folder)).toBe(token);
    expect(readdirSync(folder)).toEqual(['trainer-token']);
    expect(statSync(join(folder, 'trainer-token')).mode & 0o777).toBe(0o600);
  });

  it('is the same for programs that come to a fresh folder at one time', async () => {
    const folder = newFolder();
    const program = `
      const { trainerToken } = await import(${JSON.stringify(new URL('../dist/access/trainer-token.js', import.meta.url).href)});
      const startMs = Number(process.argv[1]);
      while (Date.now() < startMs);
      for (let i = 0; i < 100; i++) console.log(trainerToken(${JSON.stringify(folder)} + '/' + i));`;
    const args = ['--input-type=module', '-e', program, String(Date.now() + 500)];
    const found = await Promise.all([0, 1, 2].map(() => promisify(execFile)(process.execPath, args)));
    expect(new Set(found.map(({ stdout }) => stdout)).size).toBe(1);
    expect(found[0]!.stdout.trim().split('\n')).toHaveLength(100);
  });

  it('that is too short to be one is refused', () => {
    const folder = newFolder();
    writeFileSync(join(folder, 'trainer-token'), '');
    expect(() => trainerToken(folder)).toThrow(/holds no token of at least 32 characters. Delete it/);
  });
});
