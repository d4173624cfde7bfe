import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBDataChunk, DuckDBInstance } from '@duckdb/node-api';
import { afterAll, expect, it, vi } from 'vitest';
import { RunId } from '@plumbline/shared/run';
import { TrainerEvent } from '@plumbline/shared/trainer-event';
import { storedRun } from '../../test/contract/stored-samples.js';
import { examplesOf, largeExamples } from '../../test/support/large-events.js';
import { mixture } from '../../test/support/real-models.js';
import { describeModel } from '../trainer/models/parameter-roles.js';
import { EmbeddedStore } from './embedded-store.js';

const folder = mkdtempSync(join(tmpdir(), 'plumbline-large-'));
afterAll(() => rmSync(folder, { recursive: true }));

it('a store writes and reads more large events than fit into its memory', async () => {
  const [runId, path] = [RunId.parse('run-a'), join(folder, 'plumbline.duckdb')];
  const memoryBytes = 32 * 2 ** 20;
  let store = new EmbeddedStore(path, { memoryBytes });
  await store.createRun(storedRun(runId));
  // 80 MB: DuckDB writes its file several times meanwhile.
  const seqs = Array.from({ length: 40 }, (_, i) => i + 1);
  for (const seq of seqs) await store.append(runId, [largeExamples(seq)]);
  await store.close();
  store = new EmbeddedStore(path, { memoryBytes });
  const read: number[] = [];
  const range = { type: 'examples', newest: 100, maxBytes: 1e9 } as const;
  await store.eachLargeEvent(runId, range, (texts) => {
    // A page of texts is bounded.
    expect(texts.length).toBeLessThan(3);
    for (const text of texts) {
      read.push((JSON.parse(text) as { seq: number }).seq);
      expect(text).toBe(JSON.stringify(largeExamples(read.at(-1)!)));
    }
  });
  expect(read).toEqual(seqs);
  await store.copyTo(join(folder, 'copy.duckdb'));
  await store.close();
  const copy = new EmbeddedStore(join(folder, 'copy.duckdb'), { memoryBytes });
  expect(await copy.events(runId, 40, 10)).toEqual([largeExamples(40)]);
  await copy.close();
});

it('a store reads control events of which not even a few fit into its memory', async () => {
  const runId = RunId.parse('run-a');
  const store = new EmbeddedStore(join(folder, 'long.duckdb'), { memoryBytes: 32 * 2 ** 20 });
  await store.createRun(storedRun(runId));
  const long = (seq: number): TrainerEvent => ({
    ...{ type: 'trainable_changed', seq, step: seq, wallTimeMs: 1, selection: { kind: 'groups', groups: [] } },
    trainable: Array.from({ length: 40_000 }, (_, i) => `${seq}.model.language_model.layers.${i}.mlp.down_proj.weight`),
  });
  const paused: TrainerEvent = { type: 'run_paused', seq: 21, step: 21, wallTimeMs: 1, reason: '' };
  // 46 MB.
  const events = [...Array.from({ length: 20 }, (_, i) => long(i + 1)), paused, examplesOf(22)];
  for (const event of events) await store.append(runId, [event]);
  const seqs: number[] = [];
  await store.eachControlEvents(runId, (texts) => {
    for (const text of texts) seqs.push((JSON.parse(text) as { seq: number }).seq);
  });
  expect(seqs).toEqual(Array.from({ length: 21 }, (_, i) => i + 1));
  const ofType: string[] = [];
  await store.eachControlEvents(runId, (texts) => void ofType.push(...texts), { types: ['run_paused'] });
  expect(ofType).toEqual([JSON.stringify(paused)]);
  expect(await store.events(runId, 20, 1)).toEqual([long(20)]);
  expect(await store.events(runId, 21, 5)).toEqual([paused, examplesOf(22)]);
  await store.close();
});

it('a store reads a model of 50,000 tensors a page at a time, and its outline without parameters and recipes', async () => {
  const runId = RunId.parse('run-a');
  const store = new EmbeddedStore(join(folder, 'model.duckdb'), { memoryBytes: 32 * 2 ** 20 });
  await store.createRun(storedRun(runId));
  const model = describeModel('mixture', mixture(127));
  const started = TrainerEvent.parse({
    ...{ type: 'run_started', seq: 1, step: 0, wallTimeMs: 5, model, baseline: {}, trainable: [] },
    trainer: { backend: 'test', device: '', host: 'here', processId: 1, version: '1' },
    selection: { kind: 'recipe', recipe: 'full' },
  });
  await store.append(runId, [started]);
  const read = async (isOutline: boolean): Promise<string> => {
    const found: string[] = [];
    await store.eachControlEvents(runId, (texts) => void found.push(...texts), { isOutline });
    return found.join();
  };
  /** Rows that are converted at a time. */
  const rows = vi.spyOn(DuckDBDataChunk.prototype, 'getRows');
  const [whole, outline] = [await read(false), await read(true)];
  // Not compared by `toEqual`: its message would be as long.
  expect(whole === JSON.stringify(started)).toBe(true);
  expect(outline === JSON.stringify({ ...started, model: { ...model, parameters: [], recipes: [] } })).toBe(true);
  expect(whole.length).toBeGreaterThan(20e6);
  expect(Math.max(...rows.mock.results.map(({ value }) => (value as unknown[]).length))).toBeLessThanOrEqual(525);
  rows.mockRestore();
  await store.close();
});

it('no row of the file is long: DuckDB reads 2,048 rows at a time, however many of them are wanted', async () => {
  const [runId, path] = [RunId.parse('run-a'), join(folder, 'rows.duckdb')];
  const store = new EmbeddedStore(path);
  await store.createRun(storedRun(runId));
  const paused = (seq: number): TrainerEvent => ({
    ...{ type: 'run_paused', seq, step: seq, wallTimeMs: 1, reason: 'x'.repeat(seq * 1000) },
  });
  await store.append(runId, [...Array.from({ length: 90 }, (_, i) => paused(i + 1)), largeExamples(91)]);
  await store.close();
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  const longest = await connection.runAndReadAll(`
    SELECT max(strlen(payload))::DOUBLE FROM events UNION ALL SELECT max(strlen(text))::DOUBLE FROM large_events`);
  connection.closeSync();
  instance.closeSync();
  for (const [bytes] of longest.getRows()) expect(bytes).toBeLessThanOrEqual(4000);
});

it('long control events in one row, as older versions stored them, are read among those in parts', async () => {
  const [runId, path] = [RunId.parse('run-a'), join(folder, 'older.duckdb')];
  const paused = (seq: number, length: number): TrainerEvent => ({
    ...{ type: 'run_paused', seq, step: seq, wallTimeMs: 1, reason: 'é'.repeat(length) },
  });
  const events = [paused(1, 90_000), paused(2, 10), paused(3, 45_000), paused(4, 90_000), paused(5, 20)];
  let store = new EmbeddedStore(path);
  await store.createRun(storedRun(runId));
  await store.append(runId, events);
  await store.close();
  const instance = await DuckDBInstance.create(path);
  const connection = await instance.connect();
  for (const { seq } of [events[0]!, events[2]!]) {
    await connection.run('UPDATE events SET payload = $1 WHERE seq = $2', [JSON.stringify(events[seq - 1]), seq]);
    await connection.run('DELETE FROM large_events WHERE seq = $1', [seq]);
  }
  connection.closeSync();
  instance.closeSync();
  store = new EmbeddedStore(path);
  const read: unknown[] = [];
  await store.eachControlEvents(runId, (texts) => void read.push(...texts.map((text) => JSON.parse(text) as unknown)));
  expect(read).toEqual(events);
  expect(await store.events(runId, 1, 10)).toEqual(events);
  await store.close();
});
