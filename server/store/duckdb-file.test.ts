import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { DuckDbFile } from './duckdb-file.js';

const folder = mkdtempSync(join(tmpdir(), 'plumbline-duckdb-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('an answer that is not read to its end blocks no checkpoint, and is gone when the file is opened again', async () => {
  const path = join(folder, 'a.duckdb');
  const open = () => new DuckDbFile(path, 'CREATE TABLE IF NOT EXISTS t (a BIGINT)', async () => {});
  const file = open();
  await file.write((transaction) => transaction.run('INSERT INTO t SELECT range FROM range(300000)'));
  const start = (): number[] => [];
  await file.read((reader) => reader.fold('SELECT a FROM t WHERE a >= $1', [0], start, () => false));
  const gone = new AbortController();
  await expect(
    file.read((reader) => reader.fold('SELECT a FROM t WHERE a >= $1', [0], start, () => gone.abort()), gone.signal),
  ).rejects.toThrow('gone');
  await file.write((transaction) => transaction.run('INSERT INTO t VALUES (7)'));
  await file.close();
  const again = open();
  expect(await again.read((reader) => reader.rows('SELECT count(*)::DOUBLE FROM t'))).toEqual([[300_001]]);
  await again.close();
});
