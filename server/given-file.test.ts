import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { fileTrouble, readGivenFile, readTokenFile } from './given-file.js';
import { UsageError } from './usage-error.js';

let folder = '';
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-given-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const caught = async (work: () => unknown): Promise<unknown> => {
  try {
    await work();
    return null;
  } catch (error) {
    return error;
  }
};

it('the system’s word on a file is told in plain English, with the file', async () => {
  writeFileSync(join(folder, 'file'), 'x');
  const none = join(folder, 'none');
  expect(fileTrouble(await caught(() => readFileSync(none)))).toBe(`${none} is not there.`);
  const below = join(folder, 'file', 'below');
  expect(fileTrouble(await caught(() => readFileSync(below)))).toBe(
    `${below} is not there: a part of its path is a file.`,
  );
  expect(fileTrouble(await caught(() => mkdir(folder)))).toBe(`${folder} is there already.`);
  expect(fileTrouble(new Error('ENOENT: no such file'))).toBeNull();
});

it('a file that a person names and that cannot be read is named with what it is for and what to do', async () => {
  expect(readGivenFile(join(folder, 'file'), 'a study', 'Write one.')).toBe('x');
  const error = await caught(() => readGivenFile(folder, 'a study', 'Write one.'));
  expect(error).toBeInstanceOf(UsageError);
  expect((error as Error).message).toBe(
    `The file for a study cannot be read: ${folder} is a folder, not a file. Write one.`,
  );
  const secret = join(folder, 'secret');
  writeFileSync(secret, 'x');
  chmodSync(secret, 0);
  // Whoever runs as root reads it all the same.
  if (process.getuid?.() !== 0)
    expect(await caught(() => readGivenFile(secret, 'a study', 'Write one.'))).toMatchObject({
      message: expect.stringContaining(`${secret} may not be used by this user.`),
    });
});

it('a file that holds no token is no token file', async () => {
  const path = join(folder, 'token');
  writeFileSync(path, 'secret-token\n');
  expect(readTokenFile(path)).toBe('secret-token');
  for (const content of ['', '\n', 'two\nlines', 'a word too many']) {
    writeFileSync(path, content);
    expect(await caught(() => readTokenFile(path))).toMatchObject({
      name: 'UsageError',
      message: expect.stringMatching(/holds no trainer token\. It is the file trainer-token in the hub's data folder/),
    });
  }
});
