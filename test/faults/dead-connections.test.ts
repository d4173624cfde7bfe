import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { CommandId, type Command } from '@plumbline/shared/command';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { PublishWatch } from '../../server/cluster/publish-watch.js';
import { connectForAdapter, connectRedis } from '../../server/cluster/redis-client.js';
import { InfluxClient } from '../../server/store/influx-client.js';
import { InfluxStore } from '../../server/store/influx-store.js';
import { HubLink } from '../../server/trainer/hub-link.js';
import { Cluster, ServerProcess } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { FaultyProxy } from '../support/faulty-proxy.js';
import { HubClient } from '../support/hub-client.js';
import { freePort } from '../support/hub-process.js';
import { InfluxServer } from '../support/influx-server.js';
import { TestHub } from '../support/test-hub.js';
import { TrainerProcess } from './trainer-process.js';
import { Viewer } from './viewer.js';

/** Connections that break silently: both ends consider them open. */
const description = describeRun(RunConfig.parse({ name: 'dead connections' }));
const closing: (() => unknown)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close();
});
const stepOf = (step: number) =>
  ({ type: 'step_completed', step, stage: 0, wallTimeMs: 1_700_000_000_001, metrics: { 'train/loss': 1 } }) as const;

describe('a trainer', () => {
  it('makes a new connection when the hub falls silent on the old one', async () => {
    const hub = await TestHub.start();
    closing.push(() => hub.remove());
    const proxy = await FaultyProxy.start(Number(new URL(hub.url).port));
    closing.push(() => proxy.close());
    const link = new HubLink(proxy.url, hub.token, { retryMs: 100 });
    closing.push(() => link.close());
    await link.attach(RunId.parse('run-silent'), description, null);
    link.emit(stepOf(1));
    expect(await link.flush(10_000)).toBe(true);
    proxy.become({ kind: 'half-open' });
    link.emit(stepOf(2));
    proxy.become({ kind: 'healthy' });
    // Socket.IO itself would notice only after its ping timeout of nearly a minute.
    expect(await link.flush(20_000)).toBe(true);
  });
});

describe('a trainer behind nginx', () => {
  it('is shown again after a step of its clock on a silent line, with Redis killed twice before', async () => {
    const cluster = await Cluster.start();
    closing.push(() => cluster.remove());
    const person = await HubClient.open(cluster.hubs[0]!);
    person.close();
    const viewer = new Viewer('nginx', cluster.url, person.cookie);
    closing.push(() => viewer.close());
    const token = (await cluster.trainerToken()).trim();
    const options = { hubPort: cluster.nginx.port, folder: cluster.folder, token, stepMs: 50 };
    const trainer = await TrainerProcess.start('run-stepped', options);
    closing.push(() => trainer.kill().then(() => trainer.proxy.close()));
    viewer.watch(trainer.runId);
    const isShown = () => {
      const next = trainer.emitted.size + 1;
      return expect.poll(() => viewer.shownTo.get(trainer.runId), { timeout: 15_000 }).toBeGreaterThanOrEqual(next);
    };
    await isShown();
    for (let i = 0; i < 2; i++) {
      await cluster.redis.kill();
      await cluster.redis.start();
      await isShown();
    }
    const { proxy } = trainer;
    const { accepted } = proxy;
    proxy.become({ kind: 'half-open' });
    // Engine.IO's client believes that it has missed a ping, and connects again at once: the line is still silent.
    await trainer.stepClock(3_600_000);
    await eventually(() => (proxy.accepted > accepted ? true : null));
    proxy.become({ kind: 'healthy' });
    // Socket.IO itself would give up the attempt only after 20 s.
    await isShown();
  });
});

describe('Redis behind a connection that is dead', () => {
  const redisBehindProxy = async () => {
    const port = await freePort();
    const server = new ServerProcess(
      'redis-server',
      ['--port', `${port}`, '--bind', '127.0.0.1', '--save', '', '--dir', tmpdir()],
      port,
    );
    await server.start();
    closing.push(() => server.kill());
    const proxy = await FaultyProxy.start(port);
    closing.push(() => proxy.close());
    return { proxy, url: proxy.url.replace('http', 'redis') };
  };

  it.each(['quiet', 'busy'])('is asked on a new one (%s)', async (kind) => {
    const { proxy, url } = await redisBehindProxy();
    const client = await connectRedis(url, () => undefined);
    closing.push(() => client.destroy());
    await client.set('a', '1');
    proxy.become({ kind: 'half-open' });
    proxy.become({ kind: 'healthy' });
    const writing = kind === 'busy' && setInterval(() => void client.publish('b', '2').catch(() => undefined), 20);
    closing.push(() => writing && clearInterval(writing));
    let answer: string | null = null;
    const ask = async (): Promise<void> => {
      while (answer === null) {
        answer = await client.get('a').catch(() => null);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    void ask();
    await expect.poll(() => answer, { timeout: 15_000 }).toBe('1');
  });

  it('brings messages of other hubs again', async () => {
    const { proxy, url } = await redisBehindProxy();
    const client = await connectForAdapter(url, new PublishWatch());
    closing.push(() => client.destroy());
    const reader = client.duplicate();
    reader.on('error', () => undefined);
    await reader.connect();
    closing.push(() => reader.destroy());
    let heard = 0;
    await reader.subscribe('live', () => heard++);
    await client.publish('live', 'first');
    await expect.poll(() => heard).toBe(1);
    proxy.become({ kind: 'half-open' });
    proxy.become({ kind: 'healthy' });
    const saying = setInterval(() => void client.publish('live', 'again'), 50);
    closing.push(() => clearInterval(saying));
    await expect.poll(() => heard, { timeout: 15_000 }).toBeGreaterThan(1);
  });
});

describe('InfluxDB behind a connection that is dead', () => {
  let server: InfluxServer;
  let folder: string;
  beforeAll(async () => {
    server = await InfluxServer.start();
    folder = await mkdtemp(join(tmpdir(), 'plumbline-dead-'));
  });
  afterAll(async () => {
    await server.remove();
    await rm(folder, { recursive: true });
  });
  const through = async () => {
    const proxy = await FaultyProxy.start(server.port);
    closing.push(() => proxy.close());
    return proxy;
  };

  it('is retried on a new one', async () => {
    const proxy = await through();
    const bucket = await server.bucket();
    const client = new InfluxClient({ url: proxy.url, org: server.org, token: server.token, bucket });
    const flux = `from(bucket: "${bucket}") |> range(start: 0)`;
    const rows: string[] = [];
    const ask = () => client.query(flux, (row) => rows.push(row('_value')));
    expect(await client.write('train,run=a loss=1 1')).toEqual({ kind: 'stored' });
    // Several pooled connections.
    await Promise.all([ask(), ask(), ask()]);
    proxy.become({ kind: 'half-open' });
    proxy.become({ kind: 'healthy' });
    rows.length = 0;
    await ask();
    expect(rows).toEqual(['1']);
  });

  it('does not delay a hub that continues a run from the position that its trainer reports', async () => {
    const proxy = await through();
    const bucket = await server.bucket();
    const options = { org: server.org, token: server.token, bucket };
    const runId = RunId.parse('run-taken');
    const before = new InfluxStore({ ...options, url: proxy.url, spoolFolder: join(folder, 'before') });
    const after = new InfluxStore({ ...options, url: server.url, spoolFolder: join(folder, 'after') });
    closing.push(
      () => after.close(),
      () => before.close(),
    );
    await before.createRun({
      ...{ runId, description, parent: null, state: 'running', reason: '', trainer: null },
      ...{ createdMs: 1_700_000_000_000, startedMs: 1_700_000_000_000, endedMs: null },
    });
    expect(await before.drained(10_000)).toBe(true);
    proxy.become({ kind: 'half-open' });
    const event = (seq: number): TrainerEvent => ({ ...stepOf(seq), seq });
    await before.append(runId, [event(1), event(2), event(3)]);
    // The hub dies with these on its disk; the trainer reports them to another hub, and somebody views the run.
    expect(await after.takeUp(runId, 3)).toEqual({ lastSeq: 3, lastStep: 0 });
    await after.eachControlEvents(runId, () => undefined);
    expect((await after.append(runId, [event(4)])).lastSeq).toBe(4);
    proxy.become({ kind: 'healthy' });
    expect(await before.drained(60_000)).toBe(true);
    const { series } = await after.history(runId, { maxPoints: 100 });
    expect([...series.get('train/loss')!.seqs]).toEqual([1, 2, 3, 4]);
  });
});

describe('a command that a hub accepted and did not deliver before it died', () => {
  it('is delivered by the hub that holds the run when the first one is back', async () => {
    const cluster = await Cluster.start({ PLUMBLINE_TRAINER_GRACE_MS: '60000' }, { storeProxies: true });
    closing.push(() => cluster.remove());
    const [first, second] = [cluster.hubs[0]!, cluster.hubs[1]!];
    const client = await HubClient.open(first);
    closing.push(() => client.close());
    const elsewhere = HubClient.withCookie(second, client.cookie);
    closing.push(() => elsewhere.close());
    const token = (await cluster.trainerToken()).trim();
    const runId = RunId.parse('run-command');
    const received: Command[] = [];
    const attach = async (url: string): Promise<HubLink> => {
      const link = new HubLink(url, token, { retryMs: 100 });
      link.onCommand((command) => received.push(command));
      closing.push(() => link.close());
      await link.attach(runId, description, null);
      return link;
    };
    const link = await attach(first.url);
    link.emit(stepOf(1));
    expect(await link.flush(10_000)).toBe(true);
    await elsewhere.until('the run to be known', () => elsewhere.run(runId).catch(() => undefined));

    link.close();
    await client.until('the trainer to be gone', async () =>
      (await client.run(runId)).trainerConnected ? undefined : true,
    );
    cluster.storeProxies[0]!.become({ kind: 'half-open' });
    const commandId = CommandId.parse(randomUUID());
    expect(await client.command(runId, { kind: 'evaluate_now' }, commandId)).toMatchObject({ state: 'pending' });
    await first.kill();
    await attach(second.url);
    expect(received).toEqual([]);
    cluster.storeProxies[0]!.become({ kind: 'healthy' });
    await first.start();
    await expect.poll(() => received.map((command) => command.commandId), { timeout: 30_000 }).toEqual([commandId]);
  });
});
