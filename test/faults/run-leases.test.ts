import { tmpdir } from 'node:os';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CommandRecord } from '@plumbline/shared/command';
import { connectRedis, type RedisClient } from '../../server/cluster/redis-client.js';
import { RedisCluster } from '../../server/cluster/redis-cluster.js';
import type { ClusterHandlers } from '../../server/run/cluster.js';
import { ServerProcess } from '../support/cluster.js';
import { freePort } from '../support/hub-process.js';
import { aCommand, aRunId } from '../support/test-hub.js';

/** The leases of two hubs on one Redis. */
let redis: ServerProcess;
let url: string;
const closing: (() => unknown)[] = [];
beforeEach(async () => {
  const port = await freePort();
  redis = new ServerProcess(
    'redis-server',
    ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--dir', tmpdir()],
    port,
  );
  await redis.start();
  url = `redis://127.0.0.1:${port}`;
});
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
  await redis.kill();
});

const runId = aRunId();

/** @param change how the hub's client differs */
const startHub = async (change: (client: RedisClient) => void = () => undefined) => {
  const client = await connectRedis(url, () => undefined);
  change(client);
  const cluster = new RedisCluster(client, () => undefined);
  const held = new Set<string>();
  const hub = { client, cluster, held, heard: 0 };
  const handlers: ClusterHandlers = {
    ...{ onRun: () => undefined, onDeleted: () => undefined, onOrphaned: () => undefined },
    onProgress: () => void hub.heard++,
    onTaken: (taken) => void held.delete(taken),
    command: (command) => Promise.resolve({ commandId: command.commandId } as CommandRecord),
    trainerLost: () => Promise.resolve(),
    held: () => (held.has(runId) ? [{ runId, connected: true, progress: { runId, lastSeq: 1, lastStep: 1 } }] : []),
  };
  cluster.start(handlers);
  closing.push(() => cluster.close());
  /** The trainer connects here. */
  const attach = async (): Promise<void> => {
    await cluster.claim(runId);
    held.add(runId);
  };
  return Object.assign(hub, { attach });
};

describe('the lease of a run', () => {
  it('goes with a trainer that moves while Redis is away, though the connection to the old hub is not closed', async () => {
    const [old, now] = [await startHub(), await startHub()];
    await old.attach();
    await expect.poll(() => now.heard, { timeout: 10_000 }).toBeGreaterThan(0);
    await redis.kill();
    await now.attach();
    expect([...old.held, ...now.held]).toEqual([runId, runId]);
    await redis.start();
    await expect.poll(() => old.held.size, { timeout: 15_000 }).toBe(0);
    expect(now.held.size).toBe(1);
    await expect.poll(() => old.cluster.holder(runId)).toBe(now.cluster.id);
  });

  it('returns with a trainer that comes back while Redis is away', async () => {
    const [first, second] = [await startHub(), await startHub()];
    await first.attach();
    await second.attach();
    await expect.poll(() => first.held.size, { timeout: 10_000 }).toBe(0);
    await redis.kill();
    await first.attach();
    await redis.start();
    await expect.poll(() => second.held.size, { timeout: 15_000 }).toBe(0);
    expect(first.held.size).toBe(1);
  });

  it('stays with a trainer that has come back since another hub told that it had the run', async () => {
    const hub = await startHub();
    await hub.attach();
    const { client } = hub;
    const say = (message: object): Promise<unknown> =>
      client.publish('plumbline:hubs', JSON.stringify({ ...message, hub: 'hub-late' }));
    await expect.poll(() => client.pubSubNumSub(['plumbline:hubs'])).toEqual({ 'plumbline:hubs': 1 });
    // The connection to the other hub is dead, and that hub renews its key.
    await client.set(`plumbline:run:${runId}`, 'hub-late');
    await say({ kind: 'taken', runId, claimedMs: Date.now() - 60_000 });
    await say({ kind: 'progress', progress: [] });
    await expect.poll(() => hub.heard).toBe(1);
    await expect.poll(() => client.get(`plumbline:run:${runId}`)).toBe(hub.cluster.id);
    expect(hub.held.size).toBe(1);
  });
});

it('a hub gets requests of other hubs, though Redis went away while it subscribed', async () => {
  let attempts = 0;
  const failing = (client: RedisClient): void => {
    const duplicate = client.duplicate.bind(client);
    client.duplicate = (...given) => {
      const subscriber = duplicate(...given);
      if (attempts++ > 0) return subscriber as never;
      const subscribe = subscriber.subscribe.bind(subscriber);
      let subscriptions = 0;
      subscriber.subscribe = (...of) =>
        subscriptions++ === 1 ? Promise.reject(new Error('Socket closed unexpectedly')) : subscribe(...of);
      return subscriber as never;
    };
  };
  const [asked, asking] = [await startHub(failing), await startHub()];
  const channel = `plumbline:hub:${asked.cluster.id}`;
  await expect.poll(() => asking.client.pubSubNumSub([channel]), { timeout: 10_000 }).toEqual({ [channel]: 1 });
  const command = aCommand(runId, { kind: 'pause' });
  const { commandId } = command;
  expect(await asking.cluster.forward(asked.cluster.id, command, 'dashboard')).toMatchObject({ commandId });
});
