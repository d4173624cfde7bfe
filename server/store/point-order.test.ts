import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { RunId } from '@plumbline/shared/run';
import { afterAll, expect, it } from 'vitest';
import { stepEvent, storedRun } from '../../test/contract/stored-samples.js';
import { EmbeddedStore } from './embedded-store.js';
import { everyPoint } from './event-store.js';

const folder = mkdtempSync(join(tmpdir(), 'plumbline-order-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const newPath = () => join(folder, `${++files}`, 'plumbline.duckdb');
const runs = ['one', 'two', 'three'].map((name) => RunId.parse(name));
const quiet = { onProblem: (message: string) => expect.fail(message) };
const metrics = (seq: number) => ({ 'a/x': seq, 'a/y': -seq, 'a/z': seq % 7 });

/** Rows of both tables, with the values of each series in storage order. */
async function tables(path: string): Promise<{ points: number; sorted: [number, number][] }> {
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  const rows = async (sql: string) => (await connection.runAndReadAll(sql)).getRows();
  const [[points]] = (await rows('SELECT count(*)::DOUBLE FROM points')) as [[number]];
  const sorted = (await rows('SELECT series_id, seq::DOUBLE FROM sorted_points ORDER BY rowid')) as [number, number][];
  connection.closeSync();
  instance.closeSync();
  return { points, sorted };
}
async function wholeRuns(store: EmbeddedStore, upTo: number, of = runs): Promise<void> {
  const seqs = Array.from({ length: upTo }, (_, i) => i + 1);
  for (const runId of of) {
    const { series } = await store.history(runId, { maxPoints: everyPoint });
    expect([...series.get('a/x')!.values]).toEqual(seqs);
    expect([...series.get('a/z')!.values]).toEqual(seqs.map((seq) => seq % 7));
    expect((await store.events(runId, upTo, 1))[0]).toMatchObject({ metrics: metrics(upTo) });
  }
}
/** Appends the events of all runs in turns. */
async function interleaved(store: EmbeddedStore, from: number, to: number): Promise<void> {
  for (let seq = from; seq <= to; seq += 5)
    await Promise.all(
      runs.map((runId) =>
        store.append(
          runId,
          Array.from({ length: 5 }, (_, i) => stepEvent(seq + i, metrics(seq + i))),
        ),
      ),
    );
}

it('interleaved values of several runs are sorted by series, and read the same throughout', async () => {
  const path = newPath();
  const store = new EmbeddedStore(path, { ...quiet, rowsPerMove: 1000 });
  for (const runId of runs) await store.createRun(storedRun(runId));
  for (let from = 1; from <= 500; from += 50) {
    await interleaved(store, from, from + 49);
    await wholeRuns(store, from + 49);
  }
  await store.ordered();
  await wholeRuns(store, 500);
  await store.close();
  const { points, sorted } = await tables(path);
  // Each step has its wall time beside its three metrics.
  expect(points + sorted.length).toBe(3 * 500 * 4);
  expect(points).toBeLessThan(1000);
  const jumps = sorted.filter(
    ([id, seq], i) => i > 0 && (sorted[i - 1]![0] > id || (sorted[i - 1]![0] === id && sorted[i - 1]![1] > seq)),
  );
  expect(jumps.length).toBeLessThanOrEqual((3 * 500 * 4) / 1000);
  const again = new EmbeddedStore(path, { ...quiet, rowsPerMove: 1000 });
  await interleaved(again, 501, 600);
  await wholeRuns(again, 600);
  await again.close();
});

it('a file of an older version is readable at once and sorted in parts', async () => {
  const path = newPath();
  const first = new EmbeddedStore(path, { ...quiet, rowsPerMove: 1e9 });
  for (const runId of runs) await first.createRun(storedRun(runId));
  await interleaved(first, 1, 500);
  await first.close();
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  await connection.run('DROP TABLE sorted_points');
  connection.closeSync();
  instance.closeSync();

  const store = new EmbeddedStore(path, { ...quiet, rowsPerMove: 1000 });
  await wholeRuns(store, 500);
  await store.ordered();
  await wholeRuns(store, 500);
  await store.close();
  const { points, sorted } = await tables(path);
  expect([points + sorted.length, points < 1000]).toEqual([6000, true]);
});

it('a run is deleted from both tables while values are moved', async () => {
  const path = newPath();
  const store = new EmbeddedStore(path, { ...quiet, rowsPerMove: 200 });
  for (const runId of runs) await store.createRun(storedRun(runId));
  await interleaved(store, 1, 200);
  const [gone, ...left] = runs;
  await Promise.all([
    store.deleteRun(gone!),
    ...left.map((runId) =>
      store.append(
        runId,
        Array.from({ length: 200 }, (_, i) => stepEvent(201 + i, metrics(201 + i))),
      ),
    ),
  ]);
  await store.ordered();
  await wholeRuns(store, 400, left);
  expect((await store.history(gone!, { maxPoints: everyPoint })).series.size).toBe(0);
  await store.close();
  const { points, sorted } = await tables(path);
  expect(points + sorted.length).toBe(2 * 400 * 4);
});

it('a store that is closed during a move has every value once', async () => {
  const path = newPath();
  for (let round = 0; round < 10; round++) {
    const store = new EmbeddedStore(path, { ...quiet, rowsPerMove: 300 });
    if (round === 0) for (const runId of runs) await store.createRun(storedRun(runId));
    await interleaved(store, 50 * round + 1, 50 * round + 50);
    await store.close();
  }
  const store = new EmbeddedStore(path, { ...quiet, rowsPerMove: 1e9 });
  await wholeRuns(store, 500);
  await store.close();
});
