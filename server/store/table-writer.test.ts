import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBConnection, DuckDBDataChunk } from '@duckdb/node-api';
import { afterAll, afterEach, expect, it, vi } from 'vitest';
import { DuckDbFile } from './duckdb-file.js';

const folder = mkdtempSync(join(tmpdir(), 'plumbline-table-writer-'));
afterAll(() => rmSync(folder, { recursive: true }));
afterEach(() => vi.restoreAllMocks());
let files = 0;
const open = (path = join(folder, `${++files}.duckdb`)) =>
  new DuckDbFile(path, 'CREATE TABLE IF NOT EXISTS t (a BIGINT, b VARCHAR)', async () => {});

it('one appender and one chunk serve every commit', async () => {
  const appenders = vi.spyOn(DuckDBConnection.prototype, 'createAppender');
  const chunks = vi.spyOn(DuckDBDataChunk, 'create');
  const file = open();
  for (let commit = 0; commit < 100; commit++)
    await file.write(async (transaction) => (await transaction.rowsOf('t')).append([BigInt(commit), `row ${commit}`]));
  expect([appenders.mock.calls.length, chunks.mock.calls.length]).toEqual([1, 1]);
  expect(await file.read((reader) => reader.rows('SELECT count(*)::DOUBLE, sum(a)::DOUBLE FROM t'))).toEqual([
    [100, 4950],
  ]);
  await file.close();
});

it('rows are stored as they were appended, with texts of any length and nulls', async () => {
  const file = open();
  const rows = Array.from({ length: 5000 }, (_, i) => [BigInt(i), i % 3 === 0 ? null : `text ${i} `.repeat(i % 7)]);
  for (const half of [rows.slice(0, 2500), rows.slice(2500)])
    await file.write(async (transaction) => {
      const table = await transaction.rowsOf('t');
      for (const row of half) table.append(row);
    });
  expect(await file.read((reader) => reader.rows('SELECT * FROM t ORDER BY a'))).toEqual(rows);
  await file.close();
});

it('a failed commit leaves none of its rows', async () => {
  const file = open();
  await expect(
    file.write(async (transaction) => {
      const table = await transaction.rowsOf('t');
      // More than a chunk: DuckDB's appender has some of them.
      for (let i = 0; i < 5000; i++) table.append([BigInt(i), null]);
      throw new Error('The job failed.');
    }),
  ).rejects.toThrow('The job failed.');
  await file.write(async (transaction) => (await transaction.rowsOf('t')).append([7n, 'after']));
  expect(await file.read((reader) => reader.rows('SELECT * FROM t'))).toEqual([[7n, 'after']]);
  await file.close();
});
