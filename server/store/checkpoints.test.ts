import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { Checkpoints } from './checkpoints.js';
import { DuckDbFile, FileClosedError } from './duckdb-file.js';
import { ReadAbandonedError, ReadInterruptedError } from './event-store.js';

const kB = 1024;
const patience = { timeout: 20_000 };
/** Rows of one write: about 45 kB of log. */
const rows = 2000;
/** A query that reads the table, and does not end by itself within a test. */
const endless = 'SELECT count(*) FROM t a, t b, t c WHERE sin(a.a + b.a + c.a) > 2';

let folder: string;
let file: DuckDbFile;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-checkpoints-'));
});
afterEach(async () => {
  await file.close();
  rmSync(folder, { recursive: true });
});

const open = (wantedBytes?: number, maxBytes?: number, copyMaxBytes = maxBytes): DuckDbFile =>
  (file = new DuckDbFile(
    join(folder, 'a.duckdb'),
    'CREATE TABLE IF NOT EXISTS t (a BIGINT, b VARCHAR)',
    async () => {},
    null,
    undefined,
    wantedBytes === undefined
      ? undefined
      : { wantedBytes: wantedBytes * kB, maxBytes: maxBytes! * kB, maxBytesBesideCopy: copyMaxBytes! * kB },
  ));
const logKb = (): number => (statSync(join(folder, 'a.duckdb.wal'), { throwIfNoEntry: false })?.size ?? 0) / kB;
const write = (count = rows): Promise<unknown> =>
  file.write((transaction) => transaction.run(`INSERT INTO t SELECT range, range::VARCHAR FROM range(${count})`));
const count = async (): Promise<unknown> =>
  (await file.read((reader) => reader.rows('SELECT count(*)::INT FROM t')))[0];

it('writes go on beside a query that takes long, far beyond the size at which a checkpoint is wanted', async () => {
  open();
  await write();
  const ends = new AbortController();
  const query = file.read((reader) => reader.rows(endless), ends.signal);
  for (let i = 0; i < 15; i++) await write(100_000);
  expect(logKb()).toBeGreaterThan(17 * kB);
  ends.abort();
  await expect(query).rejects.toThrow(ReadAbandonedError);
  // Nobody reads or writes now, and the checkpoint is taken all the same.
  await expect.poll(logKb, patience).toBe(0);
});

it('writes go on while part of an answer waits for its reader', async () => {
  open(100, 400);
  await write();
  let release!: () => void;
  const held = new Promise<void>((resolve) => (release = resolve));
  const read = file.read(async (reader) => {
    await reader.rows('SELECT * FROM t');
    await reader.hand(() => held);
    return reader.rows('SELECT count(*)::INT FROM t');
  });
  for (let i = 0; i < 20; i++) {
    await write();
    expect(logKb()).toBeLessThan(200);
  }
  release();
  expect(await read).toEqual([[21 * rows]]);
});

it('a log at its limit interrupts a query, which begins anew after the checkpoint and is told when it is interrupted again', async () => {
  open(100, 300);
  await write();
  let begun = 0;
  const read = file.read((reader) =>
    reader.fold(
      endless,
      [],
      () => void begun++,
      () => true,
    ),
  );
  // Handled at the end; it may fail before.
  const outcome = read.catch((error: unknown) => error);
  for (let i = 0; i < 40; i++) {
    await write();
    // One write more than the limit: the checkpoint comes before the next.
    expect(logKb()).toBeLessThan(400);
  }
  expect(await outcome).toBeInstanceOf(ReadInterruptedError);
  expect(begun).toBe(2);
  expect(await count()).toEqual([41 * rows]);
});

it('a copy goes on while the log passes the limit of other queries, and is interrupted at its own', async () => {
  open();
  const checkpoints = new Checkpoints({ wantedBytes: 100, maxBytes: 300, maxBytesBesideCopy: 1000 }, () => undefined);
  let interrupt!: () => void;
  const interrupted = new Promise<never>((_resolve, reject) => (interrupt = () => reject(new Error('interrupted'))));
  let isInterrupted = false;
  const options = { signal: new AbortController().signal, isOfClient: false, isCopy: true };
  const copy = checkpoints.query(() => interrupted, {
    ...options,
    interrupt: () => {
      isInterrupted = true;
      interrupt();
    },
  });
  const outcome = copy.catch((error: unknown) => error);
  for (const logBytes of [100, 300, 999])
    expect([await checkpoints.isTurn(logBytes), isInterrupted]).toEqual([false, false]);
  expect([await checkpoints.isTurn(1000), isInterrupted]).toEqual([true, true]);
  expect(await outcome).toBeInstanceOf(ReadInterruptedError);
});

it('a copy is told when the log reaches the limit beside it, and another can be made', async () => {
  open(100, 300);
  await write(1_000_000);
  const path = join(folder, 'copy.duckdb');
  let isOver = false;
  const outcome = file
    .copyTo(path)
    .catch((error: unknown) => error)
    .finally(() => (isOver = true));
  while (!isOver) await write(20_000);
  expect(await outcome).toBeInstanceOf(ReadInterruptedError);
  rmSync(path);
  await file.copyTo(path);
});

it('a copy during which the file is closed for a moment says so, does not begin anew on its part, and another can be made', async () => {
  open();
  await write(1_000_000);
  const path = join(folder, 'copy.duckdb');
  const outcome = file.copyTo(path).catch((error: unknown) => error);
  // DuckDB has begun to write the copy.
  await expect.poll(() => statSync(path, { throwIfNoEntry: false })?.size ?? 0, { interval: 1 }).toBeGreaterThan(0);
  await expect(file.write(() => Promise.reject(new Error('The disk is full.')))).rejects.toThrow();
  expect(await outcome).toBeInstanceOf(FileClosedError);
  for (const part of [path, `${path}.wal`]) rmSync(part, { force: true });
  await file.copyTo(path);
  expect(await count()).toEqual([1_000_000]);
});

it('queries that follow one another without end do not keep checkpoints away', async () => {
  open(100, 100 * kB);
  await write();
  let isOver = false;
  const reading = Array.from({ length: 3 }, async () => {
    while (!isOver) await file.read((reader) => reader.rows('SELECT max(b) FROM t'));
  });
  let checkpoints = 0;
  for (let i = 0, before = 0; i < 60; i++) {
    await write();
    if (logKb() < before) checkpoints++;
    before = logKb();
  }
  isOver = true;
  await Promise.all(reading);
  expect(checkpoints).toBeGreaterThan(3);
});

it('a transaction beside the writer keeps its rows, and no checkpoint is taken while it is open', async () => {
  open(100, 300);
  await write();
  let release!: () => void;
  const held = new Promise<void>((resolve) => (release = resolve));
  let begun!: () => void;
  const hasBegun = new Promise<void>((resolve) => (begun = resolve));
  const beside = file.beside(async (reader) => {
    await reader.rows(`CREATE TABLE u AS SELECT * FROM t`);
    begun();
    await held;
  });
  await hasBegun;
  for (let i = 0; i < 20; i++) await write();
  expect(logKb()).toBeGreaterThan(400);
  // Reads need not wait for its end, though the log is at its limit.
  expect(await count()).toEqual([21 * rows]);
  release();
  await beside;
  await expect.poll(logKb, patience).toBeLessThan(100);
  expect(await file.read((reader) => reader.rows('SELECT count(*)::INT FROM u'))).toEqual([[rows]]);
});

it('a read of a client that leaves while it waits for others is ended', async () => {
  open();
  await write();
  const [ends, leaves] = [new AbortController(), new AbortController()];
  let begun = 0;
  const long = [1, 2, 3].map(() =>
    file.read((reader) => {
      begun++;
      return reader.rows(endless);
    }, ends.signal),
  );
  await expect.poll(() => begun).toBe(3);
  const waiting = file.read((reader) => reader.rows('SELECT 1'), leaves.signal);
  // The hub's own reads do not wait for clients.
  expect(await count()).toEqual([rows]);
  leaves.abort();
  await expect(waiting).rejects.toThrow(ReadAbandonedError);
  ends.abort();
  await Promise.allSettled(long);
});
