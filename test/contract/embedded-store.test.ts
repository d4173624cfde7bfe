import { spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { afterAll, describe, expect, it } from 'vitest';
import { EmbeddedStore } from '../../server/store/embedded-store.js';
import { ReadAbandonedError, StoreUnavailableError } from '../../server/store/event-store.js';
import { repairStore } from '../../server/store/repair.js';
import { eventStoreContract } from './event-store-contract.js';
import { lossEvents, runId, stepEvent, storedRun } from './stored-samples.js';

const folder = mkdtempSync(join(tmpdir(), 'plumbline-store-'));
afterAll(() => rmSync(folder, { recursive: true }));
let files = 0;
const newPath = () => join(folder, `${++files}`, 'plumbline.duckdb');

eventStoreContract(async () => {
  const path = newPath();
  let store = new EmbeddedStore(path);
  return {
    store,
    reopen: async () => {
      await store.close();
      return (store = new EmbeddedStore(path));
    },
  };
});

describe('an older file whose stages are 32 bits wide', () => {
  async function olderFile(): Promise<string> {
    const path = newPath();
    const first = new EmbeddedStore(path);
    await first.createRun(storedRun());
    await first.append(runId, [stepEvent(1, { 'a/b': 1 }), stepEvent(2, { 'a/b': 2 })]);
    await first.close();
    const instance = await DuckDBInstance.create(path);
    const connection = await instance.connect();
    await connection.run('ALTER TABLE events ALTER stage TYPE INTEGER');
    // As 2^31 + 5 was cut off.
    await connection.run('UPDATE events SET stage = -2147483643 WHERE seq = 2');
    connection.closeSync();
    instance.closeSync();
    return path;
  }
  const asSent = [{ stage: 0 }, { stage: 2 ** 31 + 5 }];

  it('is opened, and gives stages of 2^31 and more as they were', async () => {
    const path = await olderFile();
    const store = new EmbeddedStore(path);
    expect(await store.events(runId, 1, 10)).toMatchObject(asSent);
    const wide = { ...stepEvent(3, { 'a/b': 3 }), stage: 2 ** 32 - 1 } as TrainerEvent;
    await store.append(runId, [wide]);
    expect(await store.events(runId, 3, 1)).toEqual([wide]);
    await store.close();
  });

  it('does so after a kill, with the wider column in the log only', async () => {
    const path = await olderFile();
    const store = new EmbeddedStore(path);
    await store.append(runId, [stepEvent(3, { 'a/b': 3 })]);
    // Nothing is under way: the files are what a kill would leave.
    const copy = newPath();
    cpSync(dirname(path), dirname(copy), { recursive: true });
    await store.close();

    const killed = new EmbeddedStore(copy);
    expect(await killed.events(runId, 1, 10)).toMatchObject([...asSent, { stage: 0 }]);
    await killed.close();
  });

  it('does so after a repair', async () => {
    const path = await olderFile();
    const content = readFileSync(path);
    content.fill(7, 0, 100);
    writeFileSync(path, content);
    expect(await repairStore(path, { startEmpty: false })).toMatchObject({ losses: [] });

    const store = new EmbeddedStore(path);
    expect(await store.events(runId, 1, 10)).toMatchObject(asSent);
    await store.close();
  });
});

describe.skipIf(process.platform !== 'linux')('a store that was closed', () => {
  const openFilesIn = (path: string): string[] =>
    readdirSync('/proc/self/fd').flatMap((name) => {
      try {
        const file = readlinkSync(`/proc/self/fd/${name}`);
        return file.startsWith(dirname(path)) ? [file] : [];
      } catch {
        // Closed since.
        return [];
      }
    });

  it.each<[string, (store: EmbeddedStore) => Promise<void>]>([
    [
      'whose taker threw',
      async (store) => {
        const reading = store.eachControlEvents(runId, () => Promise.reject(new Error('no more')));
        await expect(reading).rejects.toThrow('no more');
      },
    ],
    [
      'that was ended while its taker was busy',
      async (store) => {
        const gone = new AbortController();
        const busy = (): Promise<void> => {
          gone.abort();
          return new Promise(() => undefined);
        };
        const reading = store.eachSeries(runId, { maxPoints: 10 }, busy, gone.signal);
        await expect(reading).rejects.toThrow(ReadAbandonedError);
      },
    ],
    [
      'that the closing ended',
      async (store) => {
        const taken = new Promise<void>((resolve) => {
          const busy = (): Promise<void> => {
            resolve();
            return new Promise(() => undefined);
          };
          store.eachCommands(runId, busy).catch(() => undefined);
          store.eachSeries(runId, { maxPoints: 10 }, busy).catch(() => undefined);
        });
        await taken;
      },
    ],
  ])('has no file open for a read %s', async (_name, read) => {
    const path = newPath();
    const store = new EmbeddedStore(path);
    await store.createRun(storedRun());
    const paused: TrainerEvent = { type: 'run_paused', seq: 5001, step: 5000, wallTimeMs: 5, reason: 'x' };
    await store.append(runId, [...Array.from({ length: 5000 }, (_, i) => stepEvent(i + 1, { 'a/b': i })), paused]);
    await read(store);
    expect(openFilesIn(path)).not.toEqual([]);
    await store.close();
    expect(openFilesIn(path)).toEqual([]);
  });
});

it('reads events of many megabytes one by one, with little memory', async () => {
  const path = newPath();
  const large = [1, 2, 3].map(
    (seq) => ({ type: 'run_paused', seq, step: 1, wallTimeMs: 5, reason: `${seq}x`.repeat(12e6) }) as TrainerEvent,
  );
  const first = new EmbeddedStore(path);
  await first.createRun(storedRun());
  for (const event of large) await first.append(runId, [event]);
  await first.close();

  const store = new EmbeddedStore(path, { memoryBytes: 96 * 2 ** 20 });
  const lengths: number[] = [];
  await store.eachControlEvents(runId, (texts) => void lengths.push(...texts.map(({ length }) => length)));
  expect(lengths).toEqual(large.map((event) => JSON.stringify(event).length));
  for (const [i, event] of large.entries()) {
    const page = await store.events(runId, i + 1, 1000);
    expect(page).toHaveLength(1);
    // Not a deep comparison: its message would be as long.
    expect(JSON.stringify(page[0]) === JSON.stringify(event)).toBe(true);
  }
  await store.close();
});

it('answers reads that take the memory from each other one after another', async () => {
  const path = newPath();
  const first = new EmbeddedStore(path);
  await first.createRun(storedRun());
  const large = { type: 'run_paused', seq: 1, step: 1, wallTimeMs: 5, reason: 'x'.repeat(20e6) } as TrainerEvent;
  await first.append(runId, [large]);
  await first.close();

  const store = new EmbeddedStore(path, { memoryBytes: 64 * 2 ** 20 });
  const read = async (): Promise<number[]> => {
    const lengths: number[] = [];
    await store.eachControlEvents(runId, (texts) => void lengths.push(...texts.map(({ length }) => length)));
    return lengths;
  };
  const length = JSON.stringify(large).length;
  expect(await Promise.all(Array.from({ length: 8 }, read))).toEqual(Array.from({ length: 8 }, () => [length]));
  await store.close();
});

describe('a copy of the embedded store', () => {
  it('is of one moment while events go on being stored, and is a store like the first', async () => {
    const store = new EmbeddedStore(newPath());
    await store.createRun(storedRun());
    let writing = true;
    const written = (async () => {
      let seq = 0;
      while (writing) await store.append(runId, [stepEvent(++seq, { 'a/b': seq }), stepEvent(++seq, { 'a/b': seq })]);
      return seq;
    })();
    const path = join(folder, "it's a copy.duckdb");
    while ((await store.lastSeq(runId)) < 20) await new Promise((resolve) => setTimeout(resolve, 5));
    const before = await store.lastSeq(runId);
    await store.copyTo(path);
    writing = false;
    const last = await written;
    await store.close();

    const copy = new EmbeddedStore(path);
    const { lastSeq, series } = await copy.history(runId, { maxPoints: 100_000 });
    expect(lastSeq).toBeGreaterThanOrEqual(before);
    expect(lastSeq).toBeLessThanOrEqual(last);
    expect(lastSeq % 2).toBe(0);
    expect([...series.get('a/b')!.seqs]).toEqual(Array.from({ length: lastSeq }, (_, i) => i + 1));
    expect(await copy.append(runId, [stepEvent(lastSeq + 1, { 'a/b': 0 })])).toMatchObject({ lastSeq: lastSeq + 1 });
    await expect(copy.createRun(storedRun())).rejects.toThrow('already');
    await copy.close();
  });

  it('is not made over a file that is there', async () => {
    const [store, path] = [new EmbeddedStore(newPath()), join(folder, 'taken')];
    writeFileSync(path, 'x'.repeat(5000));
    await expect(store.copyTo(path)).rejects.toThrow(StoreUnavailableError);
    expect(await store.runs()).toEqual([]);
    await store.close();
  });
});

describe('the embedded store in trouble', () => {
  it('says that a damaged file is damaged and leaves it alone', async () => {
    const path = newPath();
    const first = new EmbeddedStore(path);
    await first.createRun(storedRun());
    await first.close();
    writeFileSync(path, 'not a database, '.repeat(1000));
    const store = new EmbeddedStore(path);
    await expect(store.runs()).rejects.toThrow(/is damaged. Leave its files where they are.*plumbline -- repair/);
    await expect(store.append(runId, [stepEvent(1, {})])).rejects.toThrow(StoreUnavailableError);
    await store.close();
  });

  it('says that another process has the file, and goes on once that one is gone', async () => {
    const path = newPath();
    const store = new EmbeddedStore(path);
    await store.createRun(storedRun());
    await store.close();
    const module = JSON.stringify(import.meta.resolve('@duckdb/node-api'));
    const script = `const { DuckDBInstance } = await import(${module}); const i = await DuckDBInstance.create(${JSON.stringify(path)});
      await i.connect(); console.log('open'); setInterval(() => i, 1000);`;
    const other = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise((resolve) => other.stdout.once('data', resolve));
    const second = new EmbeddedStore(path);
    await expect(second.append(runId, [stepEvent(1, {})])).rejects.toThrow(/Another hub has/);
    const gone = new Promise((resolve) => other.once('exit', resolve));
    other.kill('SIGKILL');
    await gone;
    expect(await second.append(runId, [stepEvent(1, {})])).toMatchObject({ lastSeq: 1 });
    await second.close();
  });

  it('says that a folder cannot be made', async () => {
    const path = newPath();
    writeFileSync(join(folder, 'a-file'), '');
    const store = new EmbeddedStore(join(folder, 'a-file', path));
    await expect(store.runs()).rejects.toThrow(StoreUnavailableError);
  });
});

it('the names of series are not read for a client that is gone', async () => {
  const path = newPath();
  const first = new EmbeddedStore(path);
  await first.createRun(storedRun());
  await first.append(runId, lossEvents(1, 3));
  await first.close();
  const store = new EmbeddedStore(path);
  const gone = AbortSignal.abort(new ReadAbandonedError('The reader is gone.'));
  // The run has no such series: only its names are read.
  const reading = store.eachSeries(runId, { metrics: ['none'], maxPoints: 10 }, () => undefined, gone);
  await expect(reading).rejects.toThrow(ReadAbandonedError);
  await store.close();
});
