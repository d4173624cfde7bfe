import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, expect, it } from 'vitest';
import type { RunId } from '@plumbline/shared/run';
import { singleHub, type Cluster, type ClusterHandlers, type ToldRun } from '../../server/run/cluster.js';
import { RunRegistry } from '../../server/run/registry.js';
import { StoreUnavailableError } from '../../server/store/event-store.js';
import { InfluxStore } from '../../server/store/influx-store.js';
import { InfluxServer } from '../support/influx-server.js';
import {
  aCommand,
  aRunId,
  attachment,
  eventually,
  finished,
  silentLink,
  started,
  stepped,
} from '../support/test-hub.js';
import { UnreliableInflux } from '../support/unreliable-influx.js';

/*
 * A trainer moves from one hub to another while the first one cannot deliver to InfluxDB: its events and the record of
 * the run are in its spool only.
 */
let folder: string;
let server: InfluxServer;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-takeover-'));
  server = await InfluxServer.start();
});
afterAll(async () => {
  await server.remove();
  rmSync(folder, { recursive: true });
});

class Hub {
  handlers!: ClusterHandlers;
  told: ToldRun | undefined;
  readonly runs: RunRegistry;
  readonly link = silentLink();

  constructor(
    readonly store: InfluxStore,
    dataDir: string,
  ) {
    const cluster: Cluster = {
      ...singleHub,
      start: (handlers) => void (this.handlers = handlers),
      tell: (told) => void (this.told = told),
    };
    const options = { dataDir, trainerGraceMs: 60_000, commandExpiryMs: 60_000, webhooks: { secret: null, hosts: [] } };
    this.runs = new RunRegistry(store, { ...options, onError: (error) => void errors.push(error) }, cluster);
  }

  /** @returns the highest event number that the hub reports to the trainer */
  async attach(runId: RunId, acknowledgedSeq = 0): Promise<number> {
    return (await this.runs.attach({ ...attachment(runId), acknowledgedSeq }, this.link)).lastSeq;
  }

  /** Hears what another hub tells of its runs. */
  async hear(other: Hub, runId: RunId): Promise<void> {
    this.handlers.onRun(other.told!);
    this.handlers.onProgress(other.handlers.held().map(({ progress }) => progress));
    await eventually(() => this.runs.find(runId)?.lastSeq === other.runs.find(runId)!.lastSeq);
  }
}

let door: UnreliableInflux;
let hubs: [Hub, Hub];
let errors: unknown[];
let count = 0;
beforeEach(async () => {
  errors = [];
  door = await UnreliableInflux.before(server.url);
  const { org, token } = server;
  const bucket = await server.bucket();
  const at = (url: string): Hub => {
    const dataDir = join(folder, `${++count}`);
    return new Hub(new InfluxStore({ url, org, token, bucket, spoolFolder: join(dataDir, 'spool') }), dataDir);
  };
  hubs = [at(door.url), at(server.url)];
});
afterEach(async () => {
  for (const { runs, store } of hubs) {
    runs.close();
    await store.close();
  }
  await door.close();
});

/** All events of the run, once everything is delivered. */
async function delivered(runId: RunId): Promise<{ seq: number; step: number }[]> {
  door.trouble.write = null;
  for (const { store } of hubs) expect(await store.drained(30_000)).toBe(true);
  return (await hubs[1].store.events(runId, 1, 100)).map(({ seq, step }) => ({ seq, step }));
}

it('continues a run at another hub whose record has not arrived there', async () => {
  const [first, second] = hubs;
  const runId = aRunId();
  door.trouble.write = { kind: 'answer', status: 503 };
  expect(await first.attach(runId)).toBe(0);
  await first.runs.append(runId, first.link, [started(), stepped(2)]);
  await second.hear(first, runId);
  expect(await second.attach(runId, 2)).toBe(2);
  // The series that the trainer declared are in the spool of the first hub.
  await expect(second.runs.append(runId, second.link, [stepped(3)])).rejects.toThrow(StoreUnavailableError);
  await delivered(runId);
  await second.runs.append(runId, second.link, [stepped(3)]);
  expect((await delivered(runId)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
  expect(await second.store.run(runId)).toMatchObject({ createdMs: first.told!.run.createdMs, lastSeq: 3 });
  expect(errors).toEqual([]);
});

it('takes events again that the first hub has and never acknowledged, at their steps', async () => {
  const [first, second] = hubs;
  const runId = aRunId();
  await first.attach(runId);
  await first.runs.append(runId, first.link, [started(), stepped(2)]);
  expect(await first.store.drained(10_000)).toBe(true);
  door.trouble.write = { kind: 'answer', status: 503 };
  await first.runs.append(runId, first.link, [stepped(3), stepped(4), stepped(5)]);
  await second.hear(first, runId);
  expect(await second.attach(runId, 2)).toBe(2);
  expect(await second.runs.append(runId, second.link, [stepped(3), stepped(4), stepped(5)])).toMatchObject({
    lastSeq: 5,
  });
  expect((await delivered(runId)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
  expect(errors).toEqual([]);
});

it('ends a command of the first hub once the run has ended at the second, though InfluxDB could not be asked at first', async () => {
  const [first, second] = hubs;
  const runId = aRunId();
  await first.attach(runId);
  await first.runs.append(runId, first.link, [started()]);
  expect(await first.store.drained(10_000)).toBe(true);
  door.trouble.write = { kind: 'answer', status: 503 };
  const { commandId } = await first.runs.command(aCommand(runId, { kind: 'pause' }), 'api');
  await second.hear(first, runId);
  await second.attach(runId, 1);
  await second.runs.append(runId, second.link, [finished(2)]);
  await eventually(() => (second.runs.find(runId)?.state === 'finished' ? true : null));
  door.trouble = { write: null, query: { kind: 'answer', status: 503 } };
  expect(await first.store.drained(10_000)).toBe(true);
  first.handlers.onTaken(runId);
  first.handlers.onRun(second.told!);
  // The first hub passes its open command on meanwhile.
  await sleep(1500);
  door.trouble.query = null;
  const record = await eventually(async () => {
    const [found] = await second.store.commands(runId);
    return found && found.state !== 'pending' ? found : null;
  });
  expect(record).toMatchObject({ commandId, state: 'failed', reason: expect.stringContaining('ended') });
});
