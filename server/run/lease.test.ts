import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Command, GivenCommand } from '@plumbline/shared/command';
import { GuardRule } from '@plumbline/shared/rule';
import type { RunId } from '@plumbline/shared/run';
import type { WireEvent } from '@plumbline/shared/wire-event';
import {
  aCommand,
  aRunId,
  asStored,
  attachment,
  eventually,
  finished,
  started,
  stepped,
  testTimeMs,
} from '../../test/support/test-hub.js';
import { EmbeddedStore } from '../store/embedded-store.js';
import { singleHub, type Cluster, type ClusterHandlers, type ToldRun } from './cluster.js';
import { RunRegistry } from './registry.js';
import type { WebhookOptions } from './webhook.js';

/** Who holds which run, among hubs in one process on one store. */
const holders = new Map<RunId, string>();
/** A hub's way to the others, with a lease that lasts until it is taken off. */
class TestCluster implements Cluster {
  handlers!: ClusterHandlers;
  /** What has to happen before `holder` answers. */
  asked: Promise<unknown> = Promise.resolve();
  constructor(readonly id: string) {}
  start(handlers: ClusterHandlers): void {
    this.handlers = handlers;
  }
  async holder(runId: RunId): Promise<string | null> {
    await this.asked;
    const hub = holders.get(runId) ?? null;
    return hub === this.id ? null : hub;
  }
  claim(runId: RunId): Promise<void> {
    holders.set(runId, this.id);
    return Promise.resolve();
  }
  claimIfFree(runId: RunId): Promise<boolean> {
    if (!holders.has(runId)) holders.set(runId, this.id);
    return Promise.resolve(holders.get(runId) === this.id);
  }
  tell: Cluster['tell'] = () => undefined;
  tellDeleted = (): void => undefined;
  forward = singleHub.forward;
  forwardLost = singleHub.forwardLost;
  close = (): Promise<void> => Promise.resolve();
}

let folder = '';
let store: EmbeddedStore;
const hubs: RunRegistry[] = [];
let errors: unknown[] = [];
beforeEach(() => {
  holders.clear();
  webhooks = { secret: null, hosts: [] };
  errors = [];
  folder = mkdtempSync(join(tmpdir(), 'plumbline-holding-'));
  store = new EmbeddedStore(join(folder, 'plumbline.duckdb'));
});
afterEach(async () => {
  for (const hub of hubs.splice(0)) hub.close();
  await store.close();
  rmSync(folder, { recursive: true });
});

let webhooks: WebhookOptions = { secret: null, hosts: [] };
function hub(id: string, trainerGraceMs = 60_000): { runs: RunRegistry; cluster: TestCluster } {
  const cluster = new TestCluster(id);
  const onError = (error: unknown) => void errors.push(error);
  const runs = new RunRegistry(
    store,
    { dataDir: folder, trainerGraceMs, commandExpiryMs: 60_000, webhooks, onError },
    cluster,
  );
  hubs.push(runs);
  return { runs, cluster };
}
function trainer() {
  const sent: Command[] = [];
  const send = (command: Command) => Promise.resolve(void sent.push(command));
  return { sent, send, close: () => undefined };
}
const attach = (runs: RunRegistry, runId: RunId, link = trainer()): Promise<object> =>
  runs.attach(attachment(runId), link);

/** A run that hub A held until it died, with a command open and this stored, of which A has written nothing more. */
async function left(events: WireEvent[]) {
  const runId = aRunId();
  const a = hub('a');
  const link = trainer();
  await attach(a.runs, runId, link);
  await a.runs.append(runId, link, [started()]);
  const command = aCommand(runId, { kind: 'evaluate_now' }) as GivenCommand;
  await a.runs.command(command, 'somebody');
  const b = hub('b');
  // Knows it as one that runs at A.
  expect(await b.runs.get(runId)).toMatchObject({ state: 'running' });
  await store.append(runId, events.map(asStored));
  holders.delete(runId);
  return { runId, commandId: command.commandId, b };
}
const lastWords = [stepped(2), finished(3)];

/** All that has to be true of a run that has ended. */
async function expectEnded(
  runs: RunRegistry,
  cluster: TestCluster,
  runId: RunId,
  commandId: GivenCommand['commandId'],
) {
  const ended = { state: 'finished', reason: '', endedMs: testTimeMs + 9000, lastSeq: 3, lastStep: 3 };
  expect(await runs.get(runId)).toMatchObject(ended);
  expect(await store.run(runId)).toMatchObject(ended);
  expect(await store.command(commandId)).toMatchObject({
    state: 'failed',
    reason: 'The run ended (finished) before it took effect.',
  });
  expect(cluster.handlers.held()).toEqual([]);
  expect(errors).toEqual([]);
}

describe('a run whose last word is stored while its record says that it runs is ended', () => {
  it('by a hub that starts', async () => {
    const { runId, commandId } = await left(lastWords);
    const { runs, cluster } = hub('c');
    await runs.load();
    await expectEnded(runs, cluster, runId, commandId);
  });

  it('by a hub that adopts it', async () => {
    const { runId, commandId, b } = await left(lastWords);
    b.cluster.handlers.onOrphaned([runId]);
    await eventually(async () => ((await store.run(runId))!.state === 'finished' ? true : null));
    await expectEnded(b.runs, b.cluster, runId, commandId);
  });

  it('by a hub that its trainer comes to, which is sent no command', async () => {
    const { runId, commandId, b } = await left(lastWords);
    const link = trainer();
    expect(await attach(b.runs, runId, link)).toMatchObject({ lastSeq: 3 });
    expect(link.sent).toEqual([]);
    await expectEnded(b.runs, b.cluster, runId, commandId);
  });

  it('by a hub that hears that its trainer is gone', async () => {
    const { runId, commandId, b } = await left(lastWords);
    await b.runs.trainerLost(runId, 'The process ended.');
    await expectEnded(b.runs, b.cluster, runId, commandId);
  });
});

describe('no selection and no evaluation is read, however many there are', () => {
  /** The types of the control events that are read from the store from now on. */
  function readTypes(): Set<string> {
    const types = new Set<string>();
    const read = store.eachControlEvents.bind(store);
    vi.spyOn(store, 'eachControlEvents').mockImplementation((runId, take, options) =>
      read(
        runId,
        (texts) => {
          for (const text of texts) types.add((JSON.parse(text) as { type: string }).type);
          return take(texts);
        },
        options,
      ),
    );
    return types;
  }
  const changed = {
    ...{ type: 'trainable_changed', seq: 2, step: 2, wallTimeMs: testTimeMs },
    ...{ selection: { kind: 'groups', groups: [] }, trainable: [] },
  } as WireEvent;
  const evaluated = {
    ...{ type: 'evaluation_completed', seq: 3, step: 2, stage: 0, wallTimeMs: testTimeMs, weight: null },
    ...{ target: null, right: {} },
  } as unknown as WireEvent;

  it('by a hub that starts, nor by one that its trainer comes to', async () => {
    const { runId, b } = await left([changed, evaluated]);
    const types = readTypes();
    await attach(b.runs, runId);
    expect([...types]).toEqual(['run_started']);
    holders.delete(runId);
    types.clear();
    await hub('c').runs.load();
    expect([...types]).toEqual(['run_started']);
  });

  it('where an ended run goes on, or a failed run is looked through for a last word', async () => {
    const { runId, b } = await left([changed, evaluated, { ...finished(4), type: 'run_failed', reason: 'broken' }]);
    await attach(b.runs, runId);
    expect(await b.runs.get(runId)).toMatchObject({ state: 'failed' });
    const types = readTypes();
    await b.runs.attach({ ...attachment(runId), newSegment: true }, trainer());
    expect([...types].sort()).toEqual(['run_failed', 'run_started']);
    types.clear();
    await hub('c').runs.load();
    await eventually(() => (types.has('run_failed') ? true : null));
    expect([...types].sort()).toEqual(['run_failed', 'run_started']);
  });
});

describe('a hub that gives up a run of another hub', () => {
  it('keeps what was stored of it meanwhile', async () => {
    const { runId, b } = await left([stepped(2), stepped(3)]);
    await b.runs.trainerLost(runId, 'The process ended.');
    const failed = { state: 'failed', reason: 'The process ended.', lastSeq: 3, lastStep: 3 };
    expect(await b.runs.get(runId)).toMatchObject(failed);
    expect(await store.run(runId)).toMatchObject(failed);
  });

  /** Given up by B; then its last word arrives, e.g. from A's disk. */
  async function givenUp() {
    const known = await left([]);
    await known.b.runs.trainerLost(known.runId, 'The trainer was lost.');
    await store.append(known.runId, lastWords.map(asStored));
    return known;
  }
  const said = { state: 'finished', reason: '', endedMs: testTimeMs + 9000, lastSeq: 3 };

  it('is overruled by the last word that arrives later, at the next start', async () => {
    const { runId } = await givenUp();
    const { runs, cluster } = hub('c');
    await runs.load();
    await eventually(async () => ((await store.run(runId))!.state === 'finished' ? true : null));
    expect(await store.run(runId)).toMatchObject(said);
    expect(await runs.get(runId)).toMatchObject(said);
    await eventually(() => (cluster.handlers.held().length === 0 ? true : null));
  });

  it('is overruled by it when the trainer asks', async () => {
    const { runId, b } = await givenUp();
    expect(await attach(b.runs, runId)).toMatchObject({ lastSeq: 3 });
    expect(await store.run(runId)).toMatchObject(said);
    expect(await b.runs.get(runId)).toMatchObject(said);
  });
});

describe('a run that was opened with a secret', () => {
  const secret = 'a secret of this trainer, 1';
  it('is its trainer’s at every hub', async () => {
    const runId = aRunId();
    const given = attachment(runId);
    await hub('a').runs.attach({ ...given, secret }, trainer());
    const { runs } = hub('b');
    await expect(runs.attach(given, trainer())).rejects.toMatchObject({ code: 'forbidden' });
    expect(await runs.attach({ ...given, secret }, trainer())).toEqual({ lastSeq: 0, nextSeries: 0 });
  });

  it('is so at a hub that has only heard of it, and ended by force is told to the others', async () => {
    const runId = aRunId();
    const given = attachment(runId);
    const [a, b] = [hub('a'), hub('b')];
    const told: ToldRun[] = [];
    a.cluster.tell = (run) => void told.push(run);
    await b.runs.load();
    await a.runs.attach({ ...given, secret }, trainer());
    b.cluster.handlers.onRun(told.at(-1)!);
    const { run } = store;
    // Where its record lies on the disk of the other hub only.
    store.run = () => Promise.resolve(null);
    await expect(b.runs.attach(given, trainer())).rejects.toMatchObject({ code: 'forbidden' });
    store.run = run;
    const ended: RunId[] = [];
    b.runs.on('endedByForce', (one) => ended.push(one.runId));
    const commands = ['stop', 'end_run'] as const;
    for (const kind of commands) {
      await a.runs.command(aCommand(runId, { kind }) as GivenCommand, 'somebody');
      if (kind === 'stop') await store.putCommand({ ...(await store.commands(runId))[0]!, state: 'expired' });
    }
    b.cluster.handlers.onRun(told.at(-1)!);
    await eventually(() => (ended.length > 0 ? true : null));
    expect(ended).toEqual([runId]);
    expect(JSON.stringify([await a.runs.list(), await b.runs.list()])).not.toContain('Digest');
  });
});

describe('a trainer counts as lost', () => {
  it('only once it can connect', async () => {
    const { runId } = await left([]);
    const { runs } = hub('c', 50);
    await runs.load();
    await sleep(200);
    expect(await runs.get(runId)).toMatchObject({ state: 'running' });
    runs.awaitTrainers();
    await eventually(async () => ((await runs.get(runId)).state === 'failed' ? true : null));
  });

  it('not while it attaches, nor when it has come while the holder was asked for', async () => {
    const { runId } = await left([]);
    const { runs, cluster } = hub('c', 50);
    await runs.load();
    let answer = (): void => undefined;
    cluster.asked = new Promise<void>((resolve) => (answer = resolve));
    runs.awaitTrainers();
    // The grace is over, and the holder is being asked for.
    await sleep(200);
    await attach(runs, runId);
    answer();
    await sleep(50);
    expect(await runs.get(runId)).toMatchObject({ state: 'running', trainerConnected: true });
  });

  it('when it is refused again and again, which does not prolong its grace period', async () => {
    const { runId } = await left([]);
    const { runs } = hub('c', 300);
    await runs.load();
    runs.awaitTrainers();
    const other = attachment(runId, { name: 'another run' });
    await eventually(async () => {
      await expect(runs.attach(other, trainer())).rejects.toThrow('There is another run');
      return (await runs.get(runId)).state === 'failed' ? true : null;
    });
    expect(errors).toEqual([]);
  });

  it('once more, when it was lost, came back, and is lost again though it is refused in between', async () => {
    const { runId } = await left([]);
    const { runs } = hub('c', 300);
    await runs.load();
    runs.awaitTrainers();
    const isLost = () => eventually(async () => ((await runs.get(runId)).state === 'failed' ? true : null));
    await isLost();
    const link = trainer();
    await attach(runs, runId, link);
    expect(await runs.get(runId)).toMatchObject({ state: 'running' });
    runs.detach(runId, link);
    await expect(runs.attach(attachment(runId, { name: 'another run' }), trainer())).rejects.toThrow();
    await isLost();
  });

  it('when it was refused and stays away', async () => {
    const { runId } = await left([]);
    const { runs, cluster } = hub('c', 50);
    await runs.load();
    cluster.claim = () => Promise.reject(new Error('refused'));
    await expect(attach(runs, runId)).rejects.toThrow('refused');
    await eventually(async () => ((await runs.get(runId)).state === 'failed' ? true : null));
  });
});

describe('a notification of a run that has ended', () => {
  it('is delivered by the hub that ended the run, and by another only when that is gone', async () => {
    let status = 503;
    const received: unknown[] = [];
    const receiver = createServer((request, response) => {
      received.push(request.headers['plumbline-id']);
      response.writeHead(status).end();
    }).listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    const host = `127.0.0.1:${(receiver.address() as AddressInfo).port}`;
    webhooks = { secret: 'a secret of the test', hosts: [host] };
    const rule = GuardRule.parse({
      ...{ name: 'any', metric: 'train/loss', condition: { kind: 'threshold', side: 'above', value: 1 } },
      actions: [{ kind: 'notify', url: `http://${host}/hook` }],
    });
    const runId = aRunId();
    const a = hub('a');
    const link = trainer();
    await a.runs.attach(attachment(runId, { rules: [rule] }), link);
    await a.runs.append(runId, link, [started(), ...lastWords]);
    expect(await store.run(runId)).toMatchObject({ state: 'finished' });
    await eventually(() => (received.length > 0 ? true : null));
    expect(a.cluster.handlers.held()).toMatchObject([{ runId }]);

    const others = [hub('b'), hub('c')];
    for (const { runs } of others) await runs.load();
    // Whether by starting, or by being told that nobody holds it while A does.
    for (const { cluster } of others) cluster.handlers.onOrphaned([runId]);
    await sleep(200);
    for (const { cluster } of others) expect(cluster.handlers.held()).toEqual([]);

    a.runs.close();
    holders.delete(runId);
    status = 204;
    for (const { cluster } of others) cluster.handlers.onOrphaned([runId]);
    const [record] = await eventually(async () => {
      const records = await store.commands(runId);
      return records[0]?.state === 'applied' ? records : null;
    });
    expect(new Set(received)).toEqual(new Set([record!.commandId]));
    expect(record!.after).toEqual({ status: 204, attempts: 1 });
    expect(others.map(({ cluster }) => cluster.handlers.held())).toEqual([[], []]);
    receiver.close();
  });
});

it('an attach that fails half-way leaves no trainer connected', async () => {
  const { runs } = hub('a');
  const runId = aRunId();
  const link = trainer();
  await attach(runs, runId, link);
  await runs.append(runId, link, [started()]);
  await runs.command(aCommand(runId, { kind: 'evaluate_now' }) as GivenCommand, 'somebody');
  runs.detach(runId, link);
  // The trainer that comes back takes no such command any more, and its rejection cannot be written.
  const putCommand = vi.spyOn(store, 'putCommand').mockRejectedValueOnce(new Error('the disk is full'));
  await expect(runs.attach({ ...attachment(runId), commands: ['pause'] }, trainer())).rejects.toThrow(
    'the disk is full',
  );
  expect(putCommand).toHaveBeenCalledTimes(1);
  expect(await runs.get(runId)).toMatchObject({ state: 'running', trainerConnected: false });
  expect(await runs.attach({ ...attachment(runId), commands: ['pause'] }, trainer())).toMatchObject({ lastSeq: 1 });
  expect(await runs.get(runId)).toMatchObject({ trainerConnected: true });
});
