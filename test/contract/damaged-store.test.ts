import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CommandId, CommandRecord } from '@plumbline/shared/command';
import { RunId } from '@plumbline/shared/run';
import { mendLog } from '../../server/store/duckdb-format.js';
import { EmbeddedStore } from '../../server/store/embedded-store.js';
import { everyPoint } from '../../server/store/event-store.js';
import { BeyondRepairError, repairStore } from '../../server/store/repair.js';
import { stepEvent, storedRun } from './stored-samples.js';

/*
 * A store as a crash leaves it: the run `early` has 300 events in the main file and 200 more in the write-ahead log, the
 * run `late` has its 100 events and a command in the log. Then something happens to the files.
 */
const early = RunId.parse('early');
const late = RunId.parse('late');
const folder = mkdtempSync(join(tmpdir(), 'plumbline-damage-'));
const crashed = join(folder, 'crashed');
afterAll(() => rmSync(folder, { recursive: true }));

beforeAll(async () => {
  const path = join(folder, 'live', 'plumbline.duckdb');
  const first = new EmbeddedStore(path);
  await first.createRun(storedRun(early));
  for (let seq = 1; seq <= 300; seq += 10) await first.append(early, steps(seq, 10));
  await first.close();
  const store = new EmbeddedStore(path);
  await store.createRun(storedRun(late));
  for (let seq = 301; seq <= 500; seq += 10) await store.append(early, steps(seq, 10));
  for (let seq = 1; seq <= 100; seq += 10) await store.append(late, steps(seq, 10));
  await store.putCommand(command());
  // Nothing is under way: the files are what a kill would leave.
  cpSync(join(folder, 'live'), crashed, { recursive: true });
  await store.close();
});

const steps = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => stepEvent(from + i, { 'train/loss': 1 / (from + i), 'a/b': from + i }));

const command = () =>
  CommandRecord.parse({
    ...{ commandId: CommandId.parse('command-1'), runId: late, author: 'somebody', state: 'pending', reason: '' },
    ...{ action: { kind: 'pause' }, receivedMs: 5, endedMs: null, step: null, before: null, after: null },
  });

let copies = 0;
/** A copy of the crashed store, as a hub would find it after `damage`. */
function found(damage: (path: string) => void): string {
  const copy = join(folder, `copy-${++copies}`);
  cpSync(crashed, copy, { recursive: true });
  const path = join(copy, 'plumbline.duckdb');
  damage(path);
  return path;
}
const flip = (offset: number) => (path: string) => {
  const content = readFileSync(path);
  content[offset < 0 ? content.length + offset : offset]! ^= 0xff;
  writeFileSync(path, content);
};
const inLog = (damage: (path: string) => void) => (path: string) => damage(`${path}.wal`);
const cut = (bytes: (size: number) => number) => (path: string) => truncateSync(path, bytes(statSync(path).size));
const overwrite = (offset: (size: number) => number, bytes: number) => (path: string) => {
  const content = readFileSync(path);
  content.fill(7, offset(content.length), offset(content.length) + bytes);
  writeFileSync(path, content);
};
const remove = (path: string) => rmSync(path);
const both =
  (...damages: ((path: string) => void)[]) =>
  (path: string) =>
    damages.forEach((damage) => damage(path));

interface Opened {
  /** Why it cannot be opened, or null. */
  refusal: string | null;
  /** What it says that is gone. */
  losses: string[];
  /** Told while it was opened. */
  told: string[];
  /** Event numbers of each run, each with its values. */
  runs: Record<string, number>;
}
/** Opens the store as the hub does, and checks that what it has of each run is whole up to its last event. */
async function opened(path: string): Promise<Opened> {
  const told: string[] = [];
  const store = new EmbeddedStore(path, { onProblem: (message) => told.push(message), onMended: () => undefined });
  try {
    const runs: Record<string, number> = {};
    for (const { runId, lastSeq } of await store.runs()) {
      const { series } = await store.history(runId, { maxPoints: everyPoint });
      const whole = Array.from({ length: lastSeq }, (_, i) => i + 1);
      if (lastSeq > 0) expect([...series.get('a/b')!.values]).toEqual(whole);
      expect((await store.events(runId, 1, 10_000)).map(({ seq }) => seq)).toEqual(whole);
      runs[runId] = lastSeq;
    }
    return { refusal: null, losses: (await store.condition()).losses, told, runs };
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'StoreUnavailableError') throw error;
    return { refusal: error.message, losses: [], told, runs: {} };
  } finally {
    await store.close();
  }
}

const lossOfAll = [
  'Run early is gone, with events 1 to 500 that were acknowledged.',
  'Run late is gone, with events 1 to 100 and 1 command record that were acknowledged.',
];
const lossOfLog = [
  'Run early: events 301 to 500 that were acknowledged are gone. The run now ends at step 300.',
  'Run late is gone, with events 1 to 100 and 1 command record that were acknowledged.',
];

describe('a store that lost part of its log, unnoticed by DuckDB', () => {
  it.each([
    ['empty', inLog(cut(() => 0))],
    ['missing', inLog(remove)],
    ['cut to a byte', inLog(cut(() => 1))],
    ['cut within its first entry', inLog(cut(() => 30))],
    ['of something else', inLog((log) => writeFileSync(log, 'x'.repeat(5000)))],
  ])('%s: opens with what the main file has, and tells each run and number', async (_name, damage) => {
    const path = found(damage);
    const first = await opened(path);
    expect(first).toMatchObject({ refusal: null, losses: lossOfLog, runs: { early: 300 } });
    expect(first.told).toEqual([expect.stringContaining(lossOfLog.join(' '))]);
    // Again at each start, until somebody has taken note.
    const second = await opened(path);
    expect([second.losses, second.told]).toEqual([lossOfLog, [expect.stringContaining(lossOfLog.join(' '))]]);
    const store = new EmbeddedStore(path, { onProblem: () => undefined });
    expect(await store.acceptLosses()).toEqual(lossOfLog);
    await store.close();
    expect(await opened(path)).toMatchObject({ losses: [], told: [] });
  });

  it.each([0.2, 0.5, 0.9, 0.999])('reports how much is lost when its log is cut at %s of its length', async (share) => {
    const path = found(inLog(cut((size) => Math.floor(size * share))));
    const { runs, losses } = await opened(path);
    const expected = [];
    if (runs['early']! < 500)
      expected.push(
        `Run early: events ${runs['early']! + 1} to 500 that were acknowledged are gone. The run now ends at step ${runs['early']!}.`,
      );
    if (runs['late'] === undefined) expected.push(lossOfLog[1]!);
    else if (runs['late'] < 100)
      expected.push(
        `Run late: events ${runs['late'] + 1} to 100 and 1 command record that were acknowledged are gone. The run now ends at step ${runs['late']}.`,
      );
    else expected.push('Run late: 1 command record that was acknowledged is gone. The run now ends at step 100.');
    expect(losses).toEqual(expected);
  });

  it('keeps the damaged log, and withdraws the report when the files are restored', async () => {
    const path = found(inLog(cut((size) => size >> 1)));
    const log = readFileSync(`${path}.wal`);
    expect((await opened(path)).losses).not.toEqual([]);
    const kept = readdirSync(join(path, '..')).filter((name) => name.includes('.wal.found-'));
    expect(kept.map((name) => readFileSync(join(path, '..', name)).equals(log))).toEqual([true]);
    for (const name of ['plumbline.duckdb', 'plumbline.duckdb.wal'])
      cpSync(join(crashed, name), join(path, '..', name));
    expect(await opened(path)).toMatchObject({ losses: [], told: [], runs: { early: 500, late: 100 } });
  });

  it('reports that a deleted run is back', async () => {
    const path = found(() => undefined);
    const store = new EmbeddedStore(path);
    await store.deleteRun(early);
    cpSync(`${path}.ledger`, `${path}.ledger.kept`);
    await store.close();
    for (const name of ['plumbline.duckdb', 'plumbline.duckdb.wal'])
      cpSync(join(crashed, name), join(path, '..', name));
    expect((await opened(path)).losses).toEqual([
      'Run early was deleted and is back: the record of its deletion is gone.',
    ]);
  });
});

describe('a store that DuckDB cannot open, or would open incomplete', () => {
  const logBytes = () => statSync(join(crashed, 'plumbline.duckdb.wal')).size;
  /** The first byte from the middle of the log on that its checksum tells apart from all others. */
  const inTheMiddle = (): number => {
    const log = readFileSync(join(crashed, 'plumbline.duckdb.wal'));
    for (let at = log.length >> 1; ; at++) {
      const content = Buffer.from(log);
      content[at]! ^= 0xff;
      if (mendLog(content).mended.length > 0) return at;
    }
  };
  const mainBytes = () => statSync(join(crashed, 'plumbline.duckdb')).size;
  it.each([
    ['a byte flipped in the middle of the log', () => inLog(flip(inTheMiddle()))],
    ['the last byte of the log flipped', () => inLog(flip(-1))],
    ['the first byte of the log flipped', () => inLog(flip(0))],
    ['the length of an entry of the log flipped', () => inLog(flip(8))],
    ['a high byte of a length in the log flipped', () => inLog(flip(12))],
    ['a checksum in the log flipped', () => inLog(flip(17))],
    ['the first header flipped', () => flip(9)],
    ['the version flipped', () => flip(12)],
    ['the first header overwritten', () => overwrite(() => 0, 4096)],
    ['the second header flipped', () => flip(4096 + 20)],
    ['the third header flipped', () => flip(8192 + 20)],
    ['a block flipped', () => flip(12_288 + 5000)],
    ['the last block flipped', () => flip(mainBytes() - 100)],
    ['a byte flipped in each', () => both(flip(12_288 + 5000), inLog(flip(inTheMiddle())))],
  ])('%s: the advice, followed, saves all of it', async (_name, damage) => {
    const path = found(damage());
    const before = { main: readFileSync(path), log: readFileSync(`${path}.wal`) };
    const { refusal } = await opened(path);
    // A block that nothing lies in may be altered without a consequence.
    if (refusal !== null) {
      expect(refusal).not.toContain('Stack Trace');
      expect(refusal).toContain(`npm run plumbline -- repair --data-dir ${join(path, '..')}`);
      expect([readFileSync(path).equals(before.main), readFileSync(`${path}.wal`).equals(before.log)]).toEqual([
        true,
        true,
      ]);
      const { losses, aside, done } = await repairStore(path, { startEmpty: false });
      expect(losses).toEqual([]);
      expect(done.join(' ')).not.toContain('Stack Trace');
      expect(readFileSync(join(aside!, 'plumbline.duckdb')).equals(before.main)).toBe(true);
      expect(readFileSync(join(aside!, 'plumbline.duckdb.wal')).equals(before.log)).toBe(true);
    }
    expect(await opened(path)).toMatchObject({ refusal: null, losses: [], runs: { early: 500, late: 100 } });
  });

  it('a byte flipped anywhere in the log is put back as it was, or found to be damaged and left', () => {
    const log = readFileSync(join(crashed, 'plumbline.duckdb.wal'));
    let whole = 0;
    // Each byte of a word has its turn: a change of the highest one changes the highest one of the checksum alone.
    for (let at = 0; at < log.length; at += 37) {
      const content = Buffer.from(log);
      content[at]! ^= 0xff;
      const flipped = Buffer.from(content);
      const { mended } = mendLog(content);
      expect([at, content.equals(mended.length > 0 ? log : flipped)]).toEqual([at, true]);
      if (mended.length > 0) whole++;
    }
    expect(whole).toBeGreaterThan(log.length / 37 / 3);
  });

  it('a byte flipped anywhere in the log: what is not saved is told to the event', async () => {
    let whole = 0;
    const places = 24;
    for (let place = 0; place < places; place++) {
      const path = found(inLog(flip(Math.floor((logBytes() * (place + 0.37)) / places))));
      if ((await opened(path)).refusal !== null) await repairStore(path, { startEmpty: false });
      const { refusal, runs, losses } = await opened(path);
      expect(refusal).toBeNull();
      if (runs['late'] === 100 && losses.length === 0) {
        expect(runs['early']).toBe(500);
        whole++;
      } else {
        expect(runs['early']).toBeGreaterThanOrEqual(300);
        const lost = losses.join(' ');
        if (runs['early']! < 500) expect(lost).toContain(`Run early: events ${runs['early']! + 1} to 500 `);
        else expect(lost).not.toContain('Run early');
        if (runs['late'] === undefined) expect(lost).toContain(lossOfLog[1]);
        else if (runs['late'] < 100) expect(lost).toContain(`Run late: events ${runs['late'] + 1} to 100 `);
      }
    }
    expect(whole).toBeGreaterThan(places / 3);
  });

  it('a part of the log overwritten: the main file and the log before it are saved, the rest is told', async () => {
    const path = found(inLog(overwrite((size) => size >> 1, 300)));
    expect((await opened(path)).refusal).toContain('repair');
    const { losses, done } = await repairStore(path, { startEmpty: false });
    expect(done.join(' ')).toMatch(/write-ahead log is damaged at byte/);
    const after = await opened(path);
    expect(after.runs['early']).toBeGreaterThan(300);
    expect(after.losses).toEqual(losses);
    expect(losses).not.toEqual([]);
  });

  it('the start of the log overwritten: the main file is saved, the rest is told', async () => {
    const path = found(inLog(overwrite(() => 8, 300)));
    await opened(path);
    const { losses } = await repairStore(path, { startEmpty: false });
    expect(losses).toEqual(lossOfLog);
    expect(await opened(path)).toMatchObject({ losses: lossOfLog, runs: { early: 300 } });
  });

  it('the main file is cut to half: the events that can be read are saved, and what is gone is told', async () => {
    const path = found(cut((size) => size >> 1));
    expect((await opened(path)).refusal).toContain('npm run plumbline -- repair');
    const { losses } = await repairStore(path, { startEmpty: false });
    expect(losses).toEqual([
      'Table runs: 1 of 1 rows cannot be read.',
      'Table series: 3 of 3 rows cannot be read.',
      'Table points: 900 of 900 rows cannot be read.',
      'Run early: its record is gone, with its settings; it is listed as failed.',
      'Run early: 300 steps between events 1 and 300 have no values any more.',
      ...lossOfLog,
    ]);
    const store = new EmbeddedStore(path, { onProblem: () => undefined });
    expect(await store.run(early)).toMatchObject({ state: 'failed', lastSeq: 300 });
    await store.close();
  });

  it('the main file is missing: nothing is begun in its place', async () => {
    const path = found(remove);
    const { refusal } = await opened(path);
    expect(refusal).toMatch(/is missing, with the 2 runs that it held/);
    for (const loss of lossOfAll) expect(refusal).toContain(loss);
    expect([existsSync(path), existsSync(`${path}.wal`)]).toEqual([false, true]);
    const beyondRepair = await repairStore(path, { startEmpty: false }).catch((error: unknown) => error as Error);
    expect(beyondRepair).toBeInstanceOf(BeyondRepairError);
    expect((beyondRepair as Error).message).toMatch(
      /Without a backup: Run early is gone, with events 1 to 500 .* Run late is gone, with events 1 to 100 /,
    );
    expect([existsSync(path), existsSync(`${path}.wal`)]).toEqual([false, true]);
    // The advice: put it back.
    cpSync(join(crashed, 'plumbline.duckdb'), path);
    expect(await opened(path)).toMatchObject({ losses: [], runs: { early: 500, late: 100 } });
  });

  it('the main file is missing, and the log was begun with the store: all of it is saved', async () => {
    const young = join(folder, 'young');
    const store = new EmbeddedStore(join(young, 'plumbline.duckdb'));
    await store.createRun(storedRun(late));
    await store.append(late, steps(1, 100));
    const path = join(folder, 'young-crashed', 'plumbline.duckdb');
    cpSync(young, join(path, '..'), { recursive: true });
    await store.close();
    rmSync(path);
    expect((await opened(path)).refusal).toMatch(/is missing, with the run that it held/);
    expect((await repairStore(path, { startEmpty: false })).losses).toEqual([]);
    expect(await opened(path)).toMatchObject({ losses: [], runs: { late: 100 } });
  });

  it('both files are missing: nothing is begun in their place, unless asked for', async () => {
    const path = found(both(remove, inLog(remove)));
    expect((await opened(path)).refusal).toMatch(/is missing, with the 2 runs/);
    const { losses } = await repairStore(path, { startEmpty: true });
    expect(losses).toEqual(lossOfAll);
    expect(await opened(path)).toMatchObject({ refusal: null, losses: lossOfAll, runs: {} });
  });

  it.each([
    ['with its log', () => undefined],
    ['without its log', inLog(remove)],
  ])('the main file is empty, %s: says what it held, and begins anew only when asked', async (_name, damage) => {
    const path = found(
      both(
        cut(() => 0),
        damage,
      ),
    );
    const { refusal } = await opened(path);
    expect(refusal).toContain('is damaged: it is empty, with the 2 runs that it held');
    for (const loss of lossOfAll) expect(refusal).toContain(loss);
    expect(statSync(path).size).toBe(0);
    await expect(repairStore(path, { startEmpty: false })).rejects.toThrow(BeyondRepairError);
    expect((await repairStore(path, { startEmpty: true })).losses).toEqual(lossOfAll);
    expect(await opened(path)).toMatchObject({ refusal: null, losses: lossOfAll, runs: {} });
  });

  it('the log is copied for the first opening only, and what cannot be copied is told once', async () => {
    const copies = (path: string) => readdirSync(join(path, '..')).filter((name) => name.includes('.opening-'));
    const fails = async (store: EmbeddedStore) => expect(store.open()).rejects.toThrow('repair');
    const path = found(flip(9));
    const told: string[] = [];
    const store = new EmbeddedStore(path, { onProblem: (message) => told.push(message) });
    await fails(store);
    expect(copies(path)).toHaveLength(1);
    rmSync(join(path, '..', copies(path)[0]!));
    await fails(store);
    expect(copies(path)).toEqual([]);
    // As on a disk that is full: what is in the way of the copy.
    const other = new EmbeddedStore(path, { onProblem: (message) => told.push(message) });
    mkdirSync(`${path}.wal.opening-${process.pid}`);
    for (let attempt = 0; attempt < 5; attempt++) await fails(other);
    expect(told).toEqual([expect.stringContaining('could not be copied')]);
    expect(copies(path)).toEqual([]);
    await Promise.all([store.close(), other.close()]);
  });

  it('files that can be read beside a loss are not called whole', async () => {
    const path = found(inLog(remove));
    await opened(path);
    const { done, losses } = await repairStore(path, { startEmpty: false });
    expect(losses).toEqual(lossOfLog);
    expect(done.join(' ')).not.toContain('whole');
  });

  it.each([
    ['cut to nothing', cut(() => 0)],
    ['a text', (path: string) => writeFileSync(path, 'x'.repeat(5000))],
    ['a folder', both(remove, (path) => mkdirSync(path))],
  ])(
    'the main file is %s: says so, leaves everything as it is, and begins anew only when asked',
    async (_name, damage) => {
      const path = found(damage);
      expect((await opened(path)).refusal).toMatch(/damaged|folder, not a file/);
      await expect(repairStore(path, { startEmpty: false })).rejects.toThrow(/Restore a backup/);
      expect(readFileSync(`${path}.wal`).equals(readFileSync(join(crashed, 'plumbline.duckdb.wal')))).toBe(true);
      const { aside } = await repairStore(path, { startEmpty: true });
      expect(readdirSync(aside!).sort()).toEqual(['plumbline.duckdb', 'plumbline.duckdb.wal', 'report.txt']);
      expect((await opened(path)).refusal).toBeNull();
    },
  );
});
