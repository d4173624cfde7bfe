import type { DuckDBValue } from '@duckdb/node-api';
import { expect, it } from 'vitest';
import { SeriesIds } from './series-ids.js';

/** A read that ends when told. */
function later(): { ask: () => Promise<DuckDBValue[][]>; end: (rows: DuckDBValue[][]) => void } {
  let end!: (rows: DuckDBValue[][]) => void;
  const rows = new Promise<DuckDBValue[][]>((resolve) => (end = resolve));
  return { ask: () => rows, end };
}
const rows =
  (...rows: DuckDBValue[][]) =>
  () =>
    Promise.resolve(rows);
const never = () => Promise.reject(new Error('It is held, so nothing is read.'));

it('a commit reads ids for itself while a reader of the same run waits, and the reader gets what it added', async () => {
  const ids = new SeriesIds(7);
  const { ask, end } = later();
  const read = ids.of('run-a', ask);
  const inCommit = await ids.of('run-a', rows(['a', 7]));
  expect(ids.add(inCommit, 'b')).toBe(8);
  end([['a', 7]]);
  expect([...(await read)]).toEqual([
    ['a', 7],
    ['b', 8],
  ]);
  expect(await ids.of('run-a', never)).toBe(inCommit);
});

it('a read that began before a commit is not kept when the run was dropped meanwhile', async () => {
  const ids = new SeriesIds(0);
  const { ask, end } = later();
  const read = ids.of('run-a', ask);
  ids.add(await ids.of('run-a', rows()), 'a');
  ids.forget('run-a');
  end([]);
  expect([...(await read)]).toEqual([]);
  expect([...(await ids.of('run-a', rows(['a', 1])))]).toEqual([['a', 1]]);
});

it('runs that were not used for longest are dropped above the bound, and read again', async () => {
  const ids = new SeriesIds(0);
  const many = rows(...Array.from({ length: 90_000 }, (_, i) => [`m${i}`, i]));
  for (const run of ['run-a', 'run-b', 'run-c']) await ids.of(run, many);
  await ids.of('run-a', never);
  ids.trim();
  await ids.of('run-a', never);
  await ids.of('run-c', never);
  await expect(ids.of('run-b', never)).rejects.toThrow();
  await ids.of('run-b', many);
});
