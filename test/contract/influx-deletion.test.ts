import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { downsampledBucket, setUpInflux } from '../../server/store/influx-setup.js';
import { InfluxStore } from '../../server/store/influx-store.js';
import { InfluxServer } from '../support/influx-server.js';
import { eventually } from '../support/eventually.js';
import { UnreliableInflux } from '../support/unreliable-influx.js';
import { runId, stepEvent, storedRun } from './event-store-contract.js';

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
const shown = async (store: InfluxStore): Promise<string[]> => (await store.runs()).map((run) => run.runId).sort();

describe('a run that is deleted from InfluxDB', () => {
  it('is hidden at once, and gone with its points once InfluxDB can delete, across a hub that ends meanwhile', async () => {
    const options = { url: door.url, spoolFolder: join(folder, 'mid-delete') };
    const store = hub(options);
    await write(store, runId, other);
    expect(await store.drained(10_000)).toBe(true);
    door.trouble.delete = { kind: 'answer', status: 503 };
    await store.deleteRun(runId);
    expect(await shown(store)).toEqual([other]);
    await eventually(async () => (await store.spoolState()).problem);
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

  it('takes along what waited in the spool, and a later run under its id keeps what is written behind it', async () => {
    const store = hub({ url: door.url });
    await write(store, other);
    door.trouble.write = { kind: 'answer', status: 503 };
    await write(store, runId);
    await store.deleteRun(runId);
    await store.createRun(storedRun(runId, 9000));
    await store.append(runId, [stepEvent(1, { 'shift/kl': 7 })]);
    door.trouble.write = null;
    expect(await store.drained(20_000)).toBe(true);
    expect(await store.run(runId)).toMatchObject({ createdMs: 9000, state: 'created', lastSeq: 1 });
    expect(await store.events(runId, 1, 10)).toEqual([stepEvent(1, { 'shift/kl': 7 })]);
    const left = await server.query(`from(bucket: "${bucket}") |> range(start: 0, stop: 2262-01-01T00:00:00Z)
      |> filter(fn: (r) => r.run == "${runId}" and r._measurement == "train")`);
    expect(left.trim()).toBe('');
  });

  it('is not brought back by the spool of another hub that was away', async () => {
    const away = { url: door.url, spoolFolder: join(folder, 'away') };
    const first = hub();
    await write(first, runId, other);
    expect(await first.drained(10_000)).toBe(true);
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
    await back.deleteRun(runId);
    expect(await back.drained(20_000)).toBe(true);
    expect(await runsInInflux()).toEqual([other]);
    for (const store of [first, back]) expect(await shown(store)).toEqual([other]);
  });
});

describe('the thinned copies of a run', () => {
  const setup = async () => {
    const name = `thinned-${++spools}`;
    const tokenFile = join(folder, name, 'influx-token');
    const place = { url: server.url, org: server.org, bucket: name, adminToken: server.token, tokenFile };
    await setUpInflux(place);
    const narrow = readFileSync(tokenFile, 'utf8').trim();
    const store = hub({ bucket: name, token: server.token });
    await write(store, runId, other);
    expect(await store.drained(10_000)).toBe(true);
    await setUpInflux({ ...place, downsample: { afterDays: 1, steps: 2 } });
    const copies = downsampledBucket(name);
    expect(await runsInInflux(copies)).toEqual([runId, other]);
    return { name, copies, narrow, token: readFileSync(tokenFile, 'utf8').trim() };
  };

  it('go too, with the token that influx-setup makes', async () => {
    const { name, copies, token } = await setup();
    const store = hub({ bucket: name, token });
    await store.deleteRun(runId);
    expect(await store.drained(20_000)).toBe(true);
    expect([await runsInInflux(name), await runsInInflux(copies), said]).toEqual([[other], [other], []]);
  });

  it('stay where the token may not write them, which is said, and what comes after does not wait', async () => {
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
