import { DuckDBInstance } from '@duckdb/node-api';
import { expect, it } from 'vitest';
import { SeriesColumns } from './series-columns.js';

it('many series share one array a column, each with its own rows', async () => {
  const instance = await DuckDBInstance.create();
  const connection = await instance.connect();
  const columns = new SeriesColumns(2);
  // Series i has i % 3 + 1 rows.
  const result = await connection.stream(`
    SELECT i::INTEGER, i::DOUBLE, (i + row / 10)::DOUBLE
    FROM range(5000) series(i), range(3) rows(row) WHERE row <= i % 3 ORDER BY i, row`);
  for (let chunk = await result.fetchChunk(); chunk && chunk.rowCount > 0; chunk = await result.fetchChunk())
    columns.add(chunk);
  connection.closeSync();
  instance.closeSync();
  const all = [...columns.series()];
  expect(all).toHaveLength(5000);
  for (const [i, [id, [first, second]]] of all.entries()) {
    const rows = Array.from({ length: (i % 3) + 1 }, (_, row) => row);
    expect(id).toBe(i);
    expect([...first!]).toEqual(rows.map(() => i));
    expect([...second!]).toEqual(rows.map((row) => i + row / 10));
  }
  expect(new Set(all.flatMap(([, parts]) => parts.map(({ buffer }) => buffer))).size).toBe(2);
});

it('no rows are no series', () => {
  expect([...new SeriesColumns(3).series()]).toEqual([]);
});
