import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { LlavaFile } from './llava-file.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-llava-file-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

it('gives records of two files of the same name different ids', async () => {
  const path = join(folder, 'out.json');
  const llava = await LlavaFile.create(path, folder);
  for (const file of ['train.jsonl', 'data/train.jsonl'])
    await llava.add([
      {
        ...{ file: join(folder, file), record: 1, picture: join(folder, 'a.png'), split: 'train' },
        ...{ prompt: 'what is it ?', answer: 'a cell' },
      },
    ]);
  expect(await llava.close()).toBe(2);
  const ids = (JSON.parse(readFileSync(path, 'utf8')) as { id: string }[]).map(({ id }) => id);
  expect(ids).toEqual(['train-1', 'data/train-1']);
});
