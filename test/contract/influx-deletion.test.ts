import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { downsampledBucket, setUpInflux } from '../../server/store/influx-setup.js';
import { InfluxStore } from '../../server/store/influx-store.js';
import { InfluxServer } from '../support/influx-server.js';
import { eventually } from '../support/eventually.js';
import { UnreliableInflux } from '../support/unreliable-influx.js';
import { runId, stepEvent, storedRun } from './stored-samples.js';

const folder = mkdtempSync(join(tmpdir(), 'plumbline-influx-deletion-'));
let server: InfluxServer;
let door: UnreliableInflux;
let bucket: string;
let said: string[];
let spools = 0;
const stores: InfluxStore[] = [];
beforeAll(async () => {
  server = await InfluxServer.start();
});
afterAll(async () => {
  await server.remove();
  rmSync(folder, { recursive: true });
});
beforeEach(async () => {
  said = [];
  bucket = await server.bucket();
  door = await UnreliableInflux.before(server.url);
});
afterEach(async () => {
  for (const store of stores.splice(0)) await store.close();
  await door.close();
});

function hub(options: { url?: string; spoolFolder?: string; token?: string; bucket?: string } = {}): InfluxStore {
  const spoolFolder = join(folder, `${++spools}`);
  const { url, org, token } = server;
  const onProblem = (message: string) => said.push(message);
  const store = new InfluxStore({ url, org, token, bucket, spoolFolder, onProblem, ...options });
  stores.push(store);
  return store;
}
/** Which runs InfluxDB has points of. */
async function runsInInflux(of = bucket): Promise<string[]> {
  const flux = `from(bucket: "${of}") |> range(start: 0, stop: 2262-01-01T00:00:00Z) |> filter(fn: (r) => exists r.run)
    |> keep(columns: ["run"]) |> group() |> distinct(column: "run")`;
  const lines = (await server.query(flux)).trim().split(/\r?\n/).slice(1);
  return lines.map((line) => line.split(',').at(-1)!).sort();
}
const other = RunId.parse('run-b');
const events = (from: number, to: number): TrainerEvent[] =>
  Array.from({ length: to - from + 1 }, (_, i) => stepEvent(from + i, { 'train/loss': i }));
async function write(store: InfluxStore, ...runs: RunId[]): Promise<void> {
  for (const id of runs) {
    await store.createRun(storedRun(id));
    await store.append(id, events(1, 5));
    await store.updateRun({ ...storedRun(id), state: 'finished' });
  }
}
async function written(store: InfluxStore, ...runs: RunId[]): Promise<InfluxStore> {
  await write(store, ...runs);
  expect(await store.drained(10_000)).toBe(true);
  return store;
}
/** InfluxDB hears of requests to delete only once the result is called. */
function holdDeletions(): () => void {
  let go = (): void => undefined;
  door.trouble.delete = { kind: 'late', until: new Promise<void>((resolve) => (go = resolve)) };
  return () => {
    delete door.trouble.delete;
    go();
  };
}
const stillDeleting = /run-a .*is still being deleted .*try again in a moment/s;
const shown = async (store: InfluxStore): Promise<string[]> => (await store.runs()).map((run) => run.runId).sort();

describe('a run that is deleted from InfluxDB', () => {
  it('is hidden at once, and gone with its points once InfluxDB can delete, across a hub that ends meanwhile', async () => {
    const options = { url: door.url, spoolFolder: join(folder, 'mid-delete') };
    const store = await written(hub(options), runId, other);
    door.trouble.delete = { kind: 'answer', status: 503 };
    await store.deleteRun(runId);
    expect(await shown(store)).toEqual([other]);
    const problem = await eventually(async () => (await store.spoolState()).problem);
    expect(problem).toMatch(/^InfluxDB has yet to delete run run-a: .*503/);
    expect(said).toEqual([problem]);
    await store.close();
    expect(await runsInInflux()).toEqual([runId, other]);

    const next = hub(options);
    expect([await shown(next), await next.run(runId), await next.events(runId, 1, 10)]).toEqual([[other], null, []]);
    // Another hub hears of it from InfluxDB.
    expect(await shown(hub())).toEqual([other]);
    delete door.trouble.delete;
    expect(await next.drained(20_000)).toBe(true);
    expect(await runsInInflux()).toEqual([other]);
    expect((await next.events(other, 1, 10)).length).toBe(5);
    expect(await next.deletedRuns()).toEqual([runId]);
  });

  it('is deleted from the spool too, before its id is free again', async () => {
    const store = hub({ url: door.url });
    await write(store, other);
    door.trouble.write = { kind: 'answer', status: 503 };
    await write(store, runId);
    await store.deleteRun(runId);
    await expect(store.createRun(storedRun(runId, 9000))).rejects.toThrow(stillDeleting);
    door.trouble.write = null;
    expect(await store.drained(20_000)).toBe(true);
    await store.createRun(storedRun(runId, 9000));
    await store.append(runId, [stepEvent(1, { 'shift/kl': 7 })]);
    expect(await store.drained(20_000)).toBe(true);
    expect(await store.run(runId)).toMatchObject({ createdMs: 9000, state: 'created', lastSeq: 1 });
    expect(await store.events(runId, 1, 10)).toEqual([stepEvent(1, { 'shift/kl': 7 })]);
    const left = await server.query(`from(bucket: "${bucket}") |> range(start: 0, stop: 2262-01-01T00:00:00Z)
      |> filter(fn: (r) => r.run == "${runId}" and r._measurement == "train")`);
    expect(left.trim()).toBe('');
  });

  it('is not brought back by the spool of another hub that was away', async () => {
    const away = { url: door.url, spoolFolder: join(folder, 'away') };
    const first = await written(hub(), runId, other);
    const second = hub(away);
    await second.takeUp(runId, 5);
    door.trouble.write = { kind: 'answer', status: 503 };
    await second.append(runId, events(6, 9));
    await second.updateRun({ ...storedRun(), state: 'failed', reason: 'said late' }, true);
    await second.close();

    await first.deleteRun(runId);
    expect(await first.drained(10_000)).toBe(true);
    door.trouble.write = null;
    const back = hub(away);
    expect([await shown(back), await back.run(runId), await back.undelivered()]).toEqual([[other], null, [runId]]);
    // As the hub does when it starts.
    await back.deleteRest(runId, null);
    expect(await back.drained(20_000)).toBe(true);
    expect(await runsInInflux()).toEqual([other]);
    for (const store of [first, back]) expect(await shown(store)).toEqual([other]);
  });
});

describe('a spool that delivers a deleted run again', () => {
  it('makes the hub delete it again', async () => {
    const options = { spoolFolder: join(folder, 'without-cursor') };
    const store = await written(hub(options), runId, other);
    await store.deleteRun(runId);
    expect(await store.drained(10_000)).toBe(true);
    await store.close();
    // As a power cut may.
    rmSync(join(options.spoolFolder, 'cursor'));
    const next = hub(options);
    expect(await next.undelivered()).toContain(runId);
    expect(await next.drained(10_000)).toBe(true);
    await next.deleteRest(runId, null);
    expect(await next.drained(10_000)).toBe(true);
    expect([await runsInInflux(), await shown(next)]).toEqual([[other], [other]]);
  });
});

describe('while InfluxDB deletes the points of a run', () => {
  // As an import does, with the time at which the deleted one was created, and later.
  it.each([1000, 9000])('its id is taken, and then free for a run that was created at %i', async (createdMs) => {
    const [first, second] = [await written(hub({ url: door.url }), runId), hub()];
    const go = holdDeletions();
    await first.deleteRun(runId);
    // The note is there; the points are still being deleted.
    expect(await first.drained(1500)).toBe(false);
    expect(await second.run(runId)).toBe(null);
    const creations = [first, second].map((store) => store.createRun(storedRun(runId, createdMs)));
    await Promise.all(creations.map((creation) => expect(creation).rejects.toThrow(stillDeleting)));
    go();
    expect(await first.drained(10_000)).toBe(true);
    await second.createRun(storedRun(runId, createdMs));
    await second.append(runId, [stepEvent(1, { 'train/loss': 5 })]);
    expect(await second.drained(10_000)).toBe(true);
    for (const store of [first, second, hub()])
      expect(await store.run(runId)).toMatchObject({ createdMs, state: 'created', lastSeq: 1 });
  });

  it('its hub can stop: the id stays taken, and the deletion continues at the next start', async () => {
    const options = { url: door.url, spoolFolder: join(folder, 'gone') };
    const [first, second] = [await written(hub(options), runId), hub()];
    holdDeletions();
    await first.deleteRun(runId);
    await eventually(async () => ((await second.run(runId)) === null ? true : null));
    await first.close();
    await expect(second.createRun(storedRun(runId, 9000))).rejects.toThrow(stillDeleting);
    delete door.trouble.delete;
    expect(await hub(options).drained(10_000)).toBe(true);
    await second.createRun(storedRun(runId, 9000));
  });

  it('other runs are written and read without errors', async () => {
    const store = await written(hub({ url: door.url }), runId, other);
    const go = holdDeletions();
    await store.deleteRun(runId);
    expect(await store.drained(1500)).toBe(false);
    await store.append(other, events(6, 6));
    const history = await store.history(other, { maxPoints: 10 });
    const { problem, depth } = await store.spoolState();
    go();
    expect([history.lastSeq, problem, depth, said]).toEqual([6, null, 0, []]);
  });
});

describe('a new run under the id of a deleted one', () => {
  it('waits for a hub that begins to delete the previous run at the same time', async () => {
    const [first, second] = [await written(hub({ url: door.url }), runId), hub({ url: door.url })];
    await first.deleteRun(runId);
    expect(await first.drained(10_000)).toBe(true);
    let letWrite = (): void => undefined;
    door.trouble.write = { kind: 'late', until: new Promise<void>((resolve) => (letWrite = resolve)) };
    door.writesAtMs = [];
    const creation = second.createRun(storedRun(runId, 9000));
    // Neither has seen anything of the other when it looked.
    await eventually(() => (door.writesAtMs.length > 0 ? true : null));
    door.trouble.write = null;
    const go = holdDeletions();
    await first.deleteRest(runId, null);
    expect(await first.drained(1500)).toBe(false);
    letWrite();
    const given = creation.then(() => second.append(runId, events(1, 3)));
    expect(await Promise.race([given.then(() => 'given'), sleep(1500, 'waits')])).toBe('waits');
    go();
    await given;
    for (const store of [first, second]) expect(await store.drained(10_000)).toBe(true);
    expect(await hub().run(runId)).toMatchObject({ createdMs: 9000, state: 'created', lastSeq: 3 });
  });

  it('is deleted with the data that another hub has of it, before the notice of the deletion arrives', async () => {
    await written(hub(), runId);
    const second = hub({ url: door.url });
    await second.takeUp(runId, 5);
    door.trouble.write = { kind: 'answer', status: 503 };
    await second.updateRun({ ...storedRun(), state: 'failed', reason: 'said late' }, true);
    // Of a run that nobody has deleted, as far as it can know.
    await second.deleteRest(runId, null);
    expect(await second.run(runId)).toMatchObject({ state: 'failed' });
    await second.deleteRest(runId, storedRun().createdMs);
    expect(await second.run(runId)).toBeNull();
    door.trouble.write = null;
    expect(await second.drained(10_000)).toBe(true);
    expect([await runsInInflux(), await second.deletedRuns()]).toEqual([[], [runId]]);
    // Heard once more when the id has another run.
    const next = hub();
    await next.createRun(storedRun(runId, 9000));
    await second.deleteRest(runId, storedRun().createdMs);
    for (const store of [next, second]) expect(await store.drained(10_000)).toBe(true);
    expect([await runsInInflux(), (await next.run(runId))?.createdMs]).toEqual([[runId], 9000]);
  });

  it('stays when a hub that was away deletes its data of the previous run', async () => {
    const away = { url: door.url, spoolFolder: join(folder, 'away-long') };
    const first = await written(hub(), runId);
    const second = hub(away);
    await second.takeUp(runId, 5);
    door.trouble.write = { kind: 'answer', status: 503 };
    await second.updateRun({ ...storedRun(), state: 'failed', reason: 'said late' }, true);
    await first.deleteRun(runId);
    expect(await first.drained(10_000)).toBe(true);

    // It has noted that, but nobody can know.
    await second.deleteRest(runId, null);
    await first.createRun(storedRun(runId, 9000));
    await first.append(runId, events(1, 3));
    expect(await first.drained(10_000)).toBe(true);
    door.trouble.write = null;
    expect(await second.drained(10_000)).toBe(true);
    // Nor does it when it sees the new one.
    await second.deleteRest(runId, null);
    expect(await second.drained(10_000)).toBe(true);
    for (const store of [first, second, hub()]) {
      expect(await store.run(runId)).toMatchObject({ createdMs: 9000, state: 'created', lastSeq: 3 });
      expect([await store.events(runId, 1, 10), await store.deletedRuns()]).toEqual([events(1, 3), []]);
    }
    // And is deleted when that is meant.
    await second.deleteRun(runId);
    expect(await second.drained(10_000)).toBe(true);
    expect([await runsInInflux(), await first.run(runId), await first.deletedRuns()]).toEqual([[], null, [runId]]);
  });
});

describe('requests to delete that InfluxDB refuses', () => {
  it.each([401, 403])('for the token (%i) do not block writes, and are repeated', async (status) => {
    const store = await written(hub({ url: door.url }), runId, other);
    door.trouble.delete = { kind: 'answer', status };
    await store.deleteRun(runId);
    const problem = await eventually(async () => (await store.spoolState()).problem);
    expect(problem).toMatch(/^InfluxDB has yet to delete run run-a: .*refuses the token.*influx-setup/);
    await store.append(other, events(6, 6));
    await eventually(async () => ((await store.spoolState()).depth === 0 ? true : null));
    expect(await hub().events(other, 6, 10)).toEqual(events(6, 6));
    delete door.trouble.delete;
    expect(await store.drained(20_000)).toBe(true);
    await eventually(async () => ((await store.spoolState()).problem === null ? true : null));
    expect([await runsInInflux(), said]).toEqual([[other], [problem]]);
  });

  it.each([404, 405, 501])('permanently (%i) are reported once, and repeated at the next start', async (status) => {
    const options = { url: door.url, spoolFolder: join(folder, `for-good-${status}`) };
    const store = await written(hub(options), runId, other);
    door.trouble.delete = { kind: 'answer', status };
    await store.deleteRun(runId);
    await store.append(other, events(6, 6));
    expect(await store.drained(10_000)).toBe(true);
    expect(said).toHaveLength(1);
    expect(said[0]).toMatch(
      /InfluxDB refuses to delete the points of run run-a: .*POST \/api\/v2\/delete.*restart the hub/s,
    );
    expect([await shown(hub()), (await store.spoolState()).problem]).toEqual([[other], null]);
    await store.close();
    delete door.trouble.delete;
    expect(await hub(options).drained(10_000)).toBe(true);
    expect(await runsInInflux()).toEqual([other]);
  });
});

describe('the thinned copies of a run', () => {
  const setup = async () => {
    const name = `thinned-${++spools}`;
    const tokenFile = join(folder, name, 'influx-token');
    const place = { url: server.url, org: server.org, bucket: name, adminToken: server.token, tokenFile };
    await setUpInflux(place);
    const narrow = readFileSync(tokenFile, 'utf8').trim();
    await written(hub({ bucket: name, token: server.token }), runId, other);
    await setUpInflux({ ...place, downsample: { afterDays: 1, steps: 2 } });
    const copies = downsampledBucket(name);
    expect(await runsInInflux(copies)).toEqual([runId, other]);
    return { name, copies, narrow, token: readFileSync(tokenFile, 'utf8').trim() };
  };

  it('are deleted too, with the token that influx-setup makes', async () => {
    const { name, copies, token } = await setup();
    const store = hub({ bucket: name, token });
    await store.deleteRun(runId);
    expect(await store.drained(20_000)).toBe(true);
    expect([await runsInInflux(name), await runsInInflux(copies), said]).toEqual([[other], [other], []]);
  });

  it('stay if the token may not write them: this is reported, and later writes do not wait', async () => {
    const { name, copies, narrow } = await setup();
    const store = hub({ bucket: name, token: narrow });
    await store.deleteRun(runId);
    await store.append(other, events(6, 6));
    expect(await store.drained(20_000)).toBe(true);
    expect([await runsInInflux(name), await runsInInflux(copies)]).toEqual([[other], [runId, other]]);
    expect(said.join()).toMatch(
      /run run-a is deleted, but not everywhere.*may not write bucket "thinned-\d+-downsampled"/,
    );
  });
});
