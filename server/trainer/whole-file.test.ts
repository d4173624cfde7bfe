import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { writeWhole } from './whole-file.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-whole-file-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it('makes its folder and replaces an existing file', async () => {
  const path = join(folder, 'runs', 'run-a', 'file');
  await writeWhole(path, 'before');
  await writeWhole(path, new Uint8Array([110, 111, 119]));
  expect(readFileSync(path, 'utf8')).toBe('now');
  expect(readdirSync(join(folder, 'runs', 'run-a'))).toEqual(['file']);
});

it('keeps the existing file, and leaves no partial one, when the disk is full', async () => {
  const path = join(folder, 'file');
  await writeWhole(path, 'before');
  symlinkSync('/dev/full', `${path}.writing`);
  await expect(writeWhole(path, 'now')).rejects.toThrow(/ENOSPC/);
  expect(readFileSync(path, 'utf8')).toBe('before');
  expect(readdirSync(folder)).toEqual(['file']);
});
