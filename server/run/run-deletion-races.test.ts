import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { GivenCommand } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import { RunDescription } from '@plumbline/shared/run-description';
import { CheckpointId, type RunParent } from '@plumbline/shared/run';
import { saved } from '../../test/support/ruled-runs.js';
import {
  aCommand,
  aRunId,
  asStored,
  attachment,
  eventually,
  finished,
  started,
  stepped,
  silentLink,
} from '../../test/support/test-hub.js';
import { EmbeddedStore } from '../store/embedded-store.js';
import type { EventStore } from '../store/event-store.js';
import { singleHub, type Cluster, type ClusterHandlers, type DeletedOne } from './cluster.js';
import { RunRegistry } from './registry.js';
import type { Attached } from './run.js';

/** Other hubs that hold nothing; this one is told of what they are told. */
class NoOtherHubs implements Cluster {
  handlers!: ClusterHandlers;
  told: string[] = [];
  start(handlers: ClusterHandlers): void {
    this.handlers = handlers;
  }
  holder = singleHub.holder;
  claim = singleHub.claim;
  claimIfFree = singleHub.claimIfFree;
  tell: Cluster['tell'] = ({ run: { runId, state } }) => void this.told.push(`${runId} ${state}`);
  tellDeleted = (run: DeletedOne): void => void this.told.push(`${run.runId} deleted`);
  forward = singleHub.forward;
  forwardLost = singleHub.forwardLost;
  close = singleHub.close;
}

let folder = '';
let file: EmbeddedStore;
const hubs: RunRegistry[] = [];
let errors: unknown[] = [];
/** What a call of the store waits for before it is answered, by its name: an InfluxDB or a disk that takes a moment. */
let slow: Partial<Record<keyof EventStore, Promise<unknown>>> = {};
let asked: string[] = [];
beforeEach(() => {
  errors = [];
  slow = {};
  asked = [];
  folder = mkdtempSync(join(tmpdir(), 'plumbline-races-'));
  file = new EmbeddedStore(join(folder, 'plumbline.duckdb'));
});
afterEach(async () => {
  for (const hub of hubs.splice(0)) hub.close();
  await file.close();
  rmSync(folder, { recursive: true });
});

/** @param before whether a slow call waits before it reads or writes, rather than before it answers */
function hub(cluster: NoOtherHubs | null = null, before: (keyof EventStore)[] = []): RunRegistry {
  const store = new Proxy(file, {
    get: (target, name: keyof EventStore) => {
      const member = Reflect.get(target, name, target) as unknown;
      if (typeof member !== 'function') return member;
      return async (...args: unknown[]): Promise<unknown> => {
        asked.push(name);
        const wait = slow[name];
        if (before.includes(name)) await wait;
        const answer = (await member.apply(target, args)) as unknown;
        if (!before.includes(name)) await wait;
        return answer;
      };
    },
  });
  const runs = new RunRegistry(
    store,
    {
      ...{
        dataDir: folder,
        trainerGraceMs: 60_000,
        commandExpiryMs: 60_000,
        webhooks: { secret: 'x', hosts: ['127.0.0.1:9'] },
      },
      onError: (error) => void errors.push(error),
    },
    cluster ?? singleHub,
  );
  hubs.push(runs);
  return runs;
}
const link = silentLink();
const attach = (runs: RunRegistry, runId: RunId, parent: RunParent | null = null): Promise<Attached> =>
  runs.attach({ ...attachment(runId), parent }, link);
async function ended(runs: RunRegistry): Promise<RunId> {
  const runId = aRunId();
  await attach(runs, runId);
  await runs.append(runId, link, [started(), saved(2, 2), finished(3)]);
  expect(await runs.get(runId)).toMatchObject({ state: 'finished' });
  return runId;
}
/** Holds back the answers of a call of the store. @returns lets them go */
function hold(name: keyof EventStore): () => void {
  let release = (): void => undefined;
  slow[name] = new Promise<void>((resolve) => (release = resolve));
  return () => {
    delete slow[name];
    release();
  };
}
const parentOf = (runId: RunId): RunParent => ({ runId, checkpointId: CheckpointId.parse('step-2'), step: 2 });
const outcome = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => (error as { code?: string }).code ?? String(error),
  );
/** Asks for a deletion, and lets go what is held back while that waits. @returns how the deletion ended */
async function deletedMeanwhile(runs: RunRegistry, runId: RunId, go: () => void): Promise<string> {
  const deleting = outcome(runs.delete(runId, 'somebody'));
  await sleep(100);
  go();
  return deleting;
}

describe('while a run is deleted', () => {
  it('no branch of it is started from the form: deletion or branch is refused', async () => {
    const runs = hub();
    const parent = await ended(runs);
    const go = hold('createRun');
    const creating = outcome(runs.create(RunDescription.parse({ name: 'branch' }), parentOf(parent)));
    await eventually(() => (asked.at(-1) === 'createRun' ? true : null));
    const deleting = outcome(runs.delete(parent, 'somebody'));
    await sleep(100);
    go();
    expect(['done done', 'not_found done', 'draining done', 'done conflict']).toContain(
      `${await creating} ${await deleting}`,
    );
    const known = new Set((await runs.list()).map(({ runId }) => runId));
    for (const run of await runs.list()) if (run.parent) expect(known).toContain(run.parent.runId);
  });

  it('no trainer opens a branch of it: deletion or branch is refused', async () => {
    const runs = hub();
    const parent = await ended(runs);
    const branch = aRunId();
    const go = hold('createRun');
    const opening = outcome(attach(runs, branch, parentOf(parent)));
    await eventually(() => (asked.at(-1) === 'createRun' ? true : null));
    await outcome(runs.delete(parent, 'somebody'));
    go();
    await opening;
    const known = new Set((await runs.list()).map(({ runId }) => runId));
    for (const run of await runs.list()) if (run.parent) expect(known).toContain(run.parent.runId);
  });

  it('a command for it is not recorded after it', async () => {
    const runs = hub();
    const runId = await ended(runs);
    const command = aCommand(runId, { kind: 'pause' }) as GivenCommand;
    const go = hold('command');
    const giving = outcome(runs.command(command, 'dashboard'));
    await eventually(() => (asked.at(-1) === 'command' ? true : null));
    await deletedMeanwhile(runs, runId, go);
    await giving;
    expect([await file.run(runId), await file.commands(runId)]).toEqual([null, []]);
  });

  it('a command that was given while it went on is not open behind it, which would end the renewing of all leases', async () => {
    const cluster = new NoOtherHubs();
    const runs = hub(cluster);
    const runId = aRunId();
    await attach(runs, runId);
    await runs.append(runId, link, [started()]);
    const command = aCommand(runId, { kind: 'pause' }) as GivenCommand;
    const go = hold('command');
    const giving = outcome(runs.command(command, 'dashboard'));
    await eventually(() => (asked.at(-1) === 'command' ? true : null));
    await runs.append(runId, link, [finished(2)]);
    await deletedMeanwhile(runs, runId, go);
    await giving;
    expect(() => cluster.handlers.held()).not.toThrow();
    expect([await file.run(runId), await file.commands(runId)]).toEqual([null, []]);
  });

  it('the loss of its trainer leaves no error and nothing behind', async () => {
    const runs = hub();
    const runId = aRunId();
    await attach(runs, runId);
    await runs.append(runId, link, [started()]);
    await runs.command(aCommand(runId, { kind: 'pause' }) as GivenCommand, 'dashboard');
    const go = hold('commands');
    const lost = outcome(runs.trainerLost(runId, 'The process ended.'));
    await eventually(() => (asked.at(-1) === 'commands' ? true : null));
    const deleted = await deletedMeanwhile(runs, runId, go);
    expect([await lost, deleted]).toEqual(['done', 'done']);
    expect(errors).toEqual([]);
    expect([await file.run(runId), await file.commands(runId), runs.openCommands]).toEqual([null, [], 0]);
  });

  it('ends whoever reads all of it, and is done at once', async () => {
    const runs = hub();
    const runId = await ended(runs);
    const reading = outcome(
      runs.whole(
        runId,
        (deleted) => new Promise((_, reject) => (deleted.onabort = () => reject(deleted.reason as Error))),
      ),
    );
    await eventually(() => (asked.length > 0 ? true : null));
    expect(await outcome(runs.delete(runId, 'somebody'))).toBe('done');
    expect(await reading).toBe('draining');
    expect(await file.run(runId)).toBeNull();
  });

  it.each(['checkpoints', 'ruleStates'] as const)('ends a read of its %s, as its reader does', async (name) => {
    const runs = hub(null, ['eachControlEvents']);
    const runId = await ended(runs);
    expect(await outcome(runs[name](runId, AbortSignal.abort()))).toMatch(/^ReadAbandonedError/);
    const go = hold('eachControlEvents');
    asked = [];
    const reading = outcome(runs[name](runId));
    await eventually(() => (asked.includes('eachControlEvents') ? true : null));
    expect(await deletedMeanwhile(runs, runId, go)).toBe('done');
    expect(await reading).toBe('draining');
  });

  it('waits for whoever reads all of it and takes a while to end', async () => {
    const runs = hub();
    const runId = await ended(runs);
    let read = (): void => undefined;
    const reading = runs.whole(runId, () => new Promise<void>((resolve) => (read = resolve)));
    await eventually(() => (asked.length > 0 ? true : null));
    const deleting = outcome(runs.delete(runId, 'somebody'));
    await sleep(100);
    expect(await file.run(runId)).not.toBeNull();
    read();
    await reading;
    expect(await deleting).toBe('done');
  });

  it('its trainer is asked to try again, and goes on when it stays after all', async () => {
    const runs = hub();
    const runId = aRunId();
    await attach(runs, runId);
    await runs.append(runId, link, [started()]);
    await runs.trainerLost(runId, 'The trainer was lost.');
    const { deleteRun } = EmbeddedStore.prototype;
    let fail = (): void => undefined;
    file.deleteRun = () => new Promise((_, reject) => (fail = () => reject(new Error('The disk is full.'))));
    const deleting = outcome(runs.delete(runId, 'somebody'));
    await eventually(() => (asked.at(-1) === 'deleteRun' ? true : null));
    expect(await outcome(attach(runs, runId))).toBe('draining');
    fail();
    expect(await deleting).toMatch('The disk is full.');
    expect(await outcome(attach(runs, runId))).toBe('done');
    file.deleteRun = deleteRun;
  });
});

describe('a run that is deleted while a hub starts, or by another hub', () => {
  it('does not come back with a correction of its state', async () => {
    const first = hub();
    const runId = aRunId();
    await attach(first, runId);
    await first.append(runId, link, [started()]);
    await first.trainerLost(runId, 'The trainer was lost.');
    // Its last word arrives, e.g. from another hub's spool.
    await file.append(runId, [stepped(2), finished(3)].map(asStored));
    first.close();

    const cluster = new NoOtherHubs();
    const runs = hub(cluster);
    const go = hold('commands');
    await runs.load();
    await eventually(() => (asked.at(-1) === 'commands' ? true : null));
    expect(await deletedMeanwhile(runs, runId, go)).toBe('done');
    expect((await runs.list()).map((run) => run.runId)).not.toContain(runId);
    expect(cluster.told.at(-1)).toBe(`${runId} deleted`);
  });

  it('has no notification under way, which would end the renewing of all leases', async () => {
    const first = hub();
    const runId = await ended(first);
    first.close();
    await file.putCommand({
      ...{ ...aCommand(runId, { kind: 'pause' }), author: 'rule:any', state: 'pending', receivedMs: 1, endedMs: null },
      action: { kind: 'notify', url: 'http://127.0.0.1:9/', rule: 'any', seq: 2, step: 2, metric: 'x', value: 1 },
      ...{ step: null, before: null, after: null, reason: '' },
    } as never);
    const cluster = new NoOtherHubs();
    const runs = hub(cluster);
    let go = (): void => undefined;
    cluster.claimIfFree = (runId) => {
      cluster.claimIfFree = singleHub.claimIfFree;
      // It is free to be told of here, and what is open of it is read anew.
      go = hold('commands');
      asked = [];
      return singleHub.claimIfFree(runId);
    };
    await runs.load();
    // The hub checks its failed runs at the same time.
    await eventually(() => (asked.includes('commands') ? true : null));
    expect(await deletedMeanwhile(runs, runId, () => go())).toBe('done');
    expect(() => cluster.handlers.held()).not.toThrow();
    expect(runs.openCommands).toBe(0);
  });

  it('is deleted although this hub had a pending write when another hub took it up', async () => {
    const cluster = new NoOtherHubs();
    const runs = hub(cluster);
    const runId = aRunId();
    await attach(runs, runId);
    const { updateRun } = EmbeddedStore.prototype;
    file.updateRun = () => Promise.reject(new Error('The disk is full.'));
    await expect(runs.append(runId, link, [started()])).rejects.toThrow('The disk is full.');
    file.updateRun = updateRun;
    cluster.handlers.onTaken(runId);
    cluster.handlers.onRun({ run: { ...(await runs.get(runId)), state: 'finished', trainerConnected: false } });
    expect(await outcome(runs.delete(runId, 'somebody'))).toBe('done');
  });

  it('is not ended by a hub that was about to end it', async () => {
    const cluster = new NoOtherHubs();
    const runs = hub(cluster);
    const runId = aRunId();
    await attach(runs, runId);
    await runs.append(runId, link, [started()]);
    const go = hold('updateRun');
    const ending = outcome(runs.append(runId, link, [finished(2)]));
    await eventually(() => (asked.at(-1) === 'updateRun' ? true : null));
    cluster.handlers.onDeleted(await runs.get(runId));
    go();
    await ending;
    await sleep(100);
    expect(errors).toEqual([]);
    expect((await runs.list()).map((one) => one.runId)).toEqual([]);
  });

  it('by another hub is not listed by it', async () => {
    const first = hub();
    const [runId, other] = [await ended(first), await ended(first)];
    const cluster = new NoOtherHubs();
    const runs = hub(cluster);
    const go = hold('runs');
    const loading = runs.load();
    await eventually(() => (asked.at(-1) === 'runs' ? true : null));
    const run = await first.get(runId);
    await first.delete(runId, 'somebody');
    cluster.handlers.onDeleted(run);
    go();
    await loading;
    expect((await runs.list()).map((one) => one.runId)).toEqual([other]);
  });

  it('by another hub while this one looks it up is not listed by it', async () => {
    const first = hub();
    const cluster = new NoOtherHubs();
    const runs = hub(cluster);
    await runs.load();
    const runId = await ended(first);
    const go = hold('run');
    // As a hub says of a run that it made while Redis was gone.
    cluster.handlers.onProgress([{ runId, lastSeq: 3, lastStep: 3 }]);
    await eventually(() => (asked.at(-1) === 'run' ? true : null));
    const run = await first.get(runId);
    await first.delete(runId, 'somebody');
    cluster.handlers.onDeleted(run);
    await sleep(100);
    go();
    await sleep(100);
    expect((await runs.list()).map((one) => one.runId)).toEqual([]);
  });

  it('by another hub, which this one did not hear while Redis was gone, is not gone on with by its trainer here', async () => {
    const first = hub();
    const runId = aRunId();
    await attach(first, runId);
    await first.append(runId, link, [started()]);
    await first.trainerLost(runId, 'The trainer was lost.');
    const runs = hub(new NoOtherHubs());
    await runs.load();
    await first.delete(runId, 'somebody');
    const again = runs.attach({ ...attachment(runId), acknowledgedSeq: 1 }, link);
    expect(await outcome(again)).toBe('conflict');
    expect(await outcome(runs.append(runId, link, [started(), stepped(2)]))).not.toBe('done');
    expect([await file.run(runId), await file.lastSeq(runId)]).toEqual([null, 0]);
  });
});
