import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { CommandId, type Command } from '@plumbline/shared/command';
import type { RulesResponse } from '@plumbline/shared/http';
import { GuardRule } from '@plumbline/shared/rule';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import { HubLink } from '../../server/trainer/hub-link.js';
import { Cluster } from '../support/cluster.js';
import { eventually } from '../support/eventually.js';
import { HubClient } from '../support/hub-client.js';
import type { HubProcess } from '../support/hub-process.js';
import { Ledger } from '../support/ledger.js';

/**
 * Two hubs behind nginx on one Redis and one InfluxDB, all real. The trainers use the real hub link with made-up
 * numbers: other tests cover training itself.
 */
let cluster: Cluster;
beforeAll(async () => {
  cluster = await Cluster.start({ PLUMBLINE_TRAINER_GRACE_MS: '4000' }, { storeProxies: true });
  const person = await HubClient.open(cluster.hubs[0]!);
  cookie = person.cookie;
  person.close();
});
afterAll(() => cluster?.remove());

const description = describeRun(RunConfig.parse({ name: 'cluster', steps: 100_000 }));

class Trainer {
  readonly runId = RunId.parse(`run-${randomUUID().slice(0, 8)}`);
  readonly applied: string[] = [];
  step = 0;
  private constructor(readonly link: HubLink) {}

  static async start(url: string, rules: GuardRule[] = []): Promise<Trainer> {
    const link = new HubLink(url, (await cluster.trainerToken()).trim(), { retryMs: 100 });
    const trainer = new Trainer(link);
    link.onCommand((command) => trainer.carryOut(command));
    await link.attach(trainer.runId, { ...description, rules }, null);
    link.emit({
      ...{ type: 'run_started', step: 0, wallTimeMs: Date.now(), baseline: {}, trainable: [] },
      trainer: { backend: 'test', device: '', host: 'here', processId: 1, version: '1' },
      model: { name: 'none', groups: [], parameters: [], recipes: [] },
      selection: { kind: 'recipe', recipe: 'full' },
      series: ['train/loss', 'train/gradient_norm'].map((name, number) => ({ number, name })),
    });
    return trainer;
  }

  train(steps: number): void {
    for (let i = 0; i < steps; i++) {
      const step = ++this.step;
      const metrics = { 'train/loss': 1 / step, 'train/gradient_norm': step };
      this.link.emit({ type: 'step_completed', stage: 0, step, wallTimeMs: Date.now(), metrics });
    }
  }

  /** Like a control point: each id once. */
  carryOut({ commandId }: Command): void {
    if (this.applied.includes(commandId)) return;
    this.applied.push(commandId);
    const change = { before: {}, after: { applied: true } };
    this.link.emit({ type: 'command_applied', step: this.step, wallTimeMs: Date.now(), commandId, ...change });
  }

  finish(): Promise<boolean> {
    this.link.emit({ type: 'run_finished', step: this.step, wallTimeMs: Date.now() });
    return this.link.flush(20_000);
  }
}

/** One person's session, which every hub accepts. */
let cookie = '';
const watching = (hub: HubProcess): HubClient => HubClient.withCookie(hub, cookie);
const ended = (client: HubClient, runId: RunId, commandId: string) =>
  client.until('the end of the command', async () =>
    (await client.commands(runId)).find((record) => record.commandId === commandId && record.state !== 'pending'),
  );
const seesAll = (ledger: Ledger, steps: number) =>
  expect
    .poll(() => [...ledger.values.keys()].filter((key) => key.endsWith('train/loss')).length, { timeout: 20_000 })
    .toBe(steps);

describe('two hubs', () => {
  it('show a run at either, live and afterwards, and take its commands at either', async () => {
    const [first, second] = cluster.hubs as [HubProcess, HubProcess];
    const trainer = await Trainer.start(first.url);
    const clients = [watching(first), watching(second)];
    await clients[1]!.until('the run to be known', () => clients[1]!.run(trainer.runId).catch(() => undefined));
    const ledgers = clients.map((client) => new Ledger(client, trainer.runId));
    await new Promise((resolve) => setTimeout(resolve, 500));
    trainer.train(200);
    for (const ledger of ledgers) await seesAll(ledger, 200);

    for (const client of clients) {
      const { commandId } = await client.command(trainer.runId, { kind: 'evaluate_now' });
      for (const other of clients)
        expect(await ended(other, trainer.runId, commandId)).toMatchObject({
          state: 'applied',
          after: { applied: true },
        });
    }
    expect(trainer.applied).toHaveLength(2);
    await trainer.finish();
    for (const client of clients) await client.state(trainer.runId, 'finished');
    for (const ledger of ledgers) expect(await ledger.differences()).toEqual([]);
    for (const client of clients) client.close();
    trainer.link.close();
  });

  it('lose a run that is deleted at one of them, with its folder at the other, and tell the browsers of both', async () => {
    const [first, second] = cluster.hubs as [HubProcess, HubProcess];
    const trainer = await Trainer.start(first.url);
    const { runId } = trainer;
    const clients = [watching(first), watching(second)] as const;
    await clients[1].until('the run to be known', () => clients[1].run(runId).catch(() => undefined));
    await expect(clients[1].delete(runId)).rejects.toMatchObject({ status: 409 });
    trainer.train(20);
    await trainer.finish();
    for (const client of clients) await client.state(runId, 'finished');
    const checkpoints = join(first.dataDir, 'runs', runId, 'checkpoints');
    await mkdir(checkpoints, { recursive: true });
    const told = clients.map((client) => new Promise((resolve) => client.socket.once('run_deleted', resolve)));
    const { createdMs } = await clients[1].run(runId);
    expect(await clients[1].delete(runId)).toEqual({ runId, events: 22, bytes: 0 });
    expect(await Promise.all(told)).toEqual([
      { runId, createdMs },
      { runId, createdMs },
    ]);
    for (const client of clients) {
      expect((await client.runs()).map((run) => run.runId)).not.toContain(runId);
      await expect(client.run(runId)).rejects.toMatchObject({ status: 404 });
      client.close();
    }
    await eventually(() => (existsSync(checkpoints) ? null : true));
    trainer.link.close();

    // The hub that held it does not restore it either.
    await first.stop();
    await first.start();
    const again = watching(first);
    expect((await again.runs()).map((run) => run.runId)).not.toContain(runId);
    again.close();
  });

  it('both accept a session that one of them issued, and neither accepts a forged one', async () => {
    for (const hub of cluster.hubs) {
      const ask = async (given: string): Promise<unknown> =>
        (await fetch(`${hub.url}/api/session`, { headers: { cookie: given } })).json();
      expect(await ask(cookie)).toEqual({ mayControl: true, mayWatch: true });
      expect(await ask(cookie.replace(/=.*/, '=made-up'))).toMatchObject({ mayControl: false });
    }
  });

  it('hand a run over when the hub that holds it dies: nothing is lost, and commands go to the other', async () => {
    const [first, second] = cluster.hubs as [HubProcess, HubProcess];
    const trainer = await Trainer.start(cluster.url);
    trainer.train(100);
    expect(await trainer.link.flush(20_000)).toBe(true);
    const client = watching(second);
    await client.until('the run to be known', () => client.run(trainer.runId).catch(() => undefined));
    const ledger = new Ledger(client, trainer.runId);
    // Either may hold the run: first one dies, later the other.
    for (const hub of [first, second]) {
      await hub.kill();
      trainer.train(100);
      expect(await trainer.link.flush(30_000)).toBe(true);
      await hub.start();
    }
    await client.until('the browser to be back', () => Promise.resolve(client.socket.connected || undefined));
    const commandId = CommandId.parse(randomUUID());
    await client.until('the command to be taken', () =>
      client.command(trainer.runId, { kind: 'save_checkpoint' }, commandId).catch(() => undefined),
    );
    expect(await ended(client, trainer.runId, commandId)).toMatchObject({ state: 'applied' });
    expect(trainer.applied).toEqual([commandId]);
    expect(await trainer.finish()).toBe(true);
    await client.state(trainer.runId, 'finished');
    await client.until('all of it to be stored', async () =>
      (await client.history(trainer.runId)).lastSeq >= 303 ? true : undefined,
    );
    expect(await ledger.differences()).toEqual([]);
    const { series } = await client.history(trainer.runId, '&metric=train/loss');
    expect(series['train/loss']!.steps).toEqual(Array.from({ length: 300 }, (_, i) => i + 1));
    client.close();
    trainer.link.close();
  });

  it('give the command of a rule once, though each has to continue from the other’s state', async () => {
    const [first, second] = cluster.hubs as [HubProcess, HubProcess];
    const rule = GuardRule.parse({
      ...{ name: 'far', metric: 'train/gradient_norm', actions: [{ kind: 'save_checkpoint' }] },
      condition: { kind: 'threshold', side: 'above', value: 50, consecutive: 3 },
    });
    const trainer = await Trainer.start(cluster.url, [rule]);
    const client = watching(second);
    trainer.train(100);
    await client.until('the rule to fire', () => Promise.resolve(trainer.applied.length > 0 || undefined));
    for (const hub of [first, second, first]) {
      await hub.kill();
      trainer.train(100);
      expect(await trainer.link.flush(30_000)).toBe(true);
      await hub.start();
    }
    expect(await trainer.finish()).toBe(true);
    await client.state(trainer.runId, 'finished');
    const rules = await client.until(
      'the rules',
      async () =>
        (await client.get<RulesResponse>(`/runs/${trainer.runId}/rules`)).rules[0]?.firings === 1 || undefined,
    );
    expect(rules).toBe(true);
    expect(trainer.applied).toHaveLength(1);
    expect(await client.commands(trainer.runId)).toMatchObject([
      { commandId: trainer.applied[0], author: 'rule:far', state: 'applied', action: { kind: 'save_checkpoint' } },
    ]);
    client.close();
    trainer.link.close();
  });

  it('set rules only if the other hub can find them too', async () => {
    const [first, second] = cluster.hubs as [HubProcess, HubProcess];
    const rule = GuardRule.parse({
      ...{ name: 'far', metric: 'train/gradient_norm', actions: [{ kind: 'save_checkpoint' }] },
      condition: { kind: 'threshold', side: 'above', value: 50 },
    });
    const trainer = await Trainer.start(first.url);
    trainer.train(10);
    await trainer.link.flush();
    const [near, far] = [watching(first), watching(second)];
    await far.until('the run to be stored', async () =>
      (await far.history(trainer.runId)).lastSeq >= 11 ? true : undefined,
    );
    const rulesAt = async (client: HubClient) =>
      (await client.get<RulesResponse>(`/runs/${trainer.runId}/rules`)).rules.map(({ rule: { name } }) => name);
    const set = { kind: 'set_rules' as const, rules: [rule] };

    // Durable on the hub's own disk only, where no other hub could read it.
    cluster.storeProxies[0]!.become({ kind: 'half-open' });
    const failed = await near.command(trainer.runId, set);
    expect(failed).toMatchObject({ state: 'failed', reason: expect.stringContaining('nothing is changed') });
    expect(await rulesAt(near)).toEqual([]);

    cluster.storeProxies[0]!.become({ kind: 'healthy' });
    await far.until('the failure to be stored', async () => (await far.commands(trainer.runId))[0]);
    expect(await far.commands(trainer.runId)).toMatchObject([{ commandId: failed.commandId, state: 'failed' }]);
    expect(await far.command(trainer.runId, set)).toMatchObject({ state: 'applied', after: { added: 'far' } });
    expect(await far.commands(trainer.runId)).toMatchObject([{ state: 'failed' }, { state: 'applied' }]);
    for (const client of [near, far]) expect(await rulesAt(client)).toEqual(['far']);
    await trainer.finish();
    for (const each of [near, far]) each.close();
    trainer.link.close();
  });

  it('continue without Redis, each with its own runs, and find each other again', async () => {
    const [first, second] = cluster.hubs as [HubProcess, HubProcess];
    const trainer = await Trainer.start(first.url);
    const client = watching(first);
    const ledger = new Ledger(client, trainer.runId);
    await ledger.joined;
    trainer.train(50);
    await trainer.link.flush();
    await cluster.redis.kill();
    trainer.train(50);
    expect(await trainer.link.flush(20_000)).toBe(true);
    await seesAll(ledger, 100);
    const { commandId } = await client.command(trainer.runId, { kind: 'evaluate_now' });
    expect(await ended(client, trainer.runId, commandId)).toMatchObject({ state: 'applied' });
    await cluster.redis.start();
    const elsewhere = watching(second);
    const late = CommandId.parse(randomUUID());
    await elsewhere.until('the hubs to find each other', () =>
      elsewhere.command(trainer.runId, { kind: 'evaluate_now' }, late).catch(() => undefined),
    );
    expect(await ended(elsewhere, trainer.runId, late)).toMatchObject({ state: 'applied' });
    expect(trainer.applied).toEqual([commandId, late]);
    await trainer.finish();
    await elsewhere.state(trainer.runId, 'finished');
    expect(await ledger.differences()).toEqual([]);
    for (const each of [client, elsewhere]) each.close();
    trainer.link.close();
  });

  it('report once when Redis accepts nothing more, count refusals, and report when it accepts again', async () => {
    const [hub] = cluster.hubs as [HubProcess];
    const limit = (bytes: string) =>
      promisify(execFile)('redis-cli', ['-p', `${cluster.redis.port}`, 'config', 'set', 'maxmemory', bytes]);
    const lost = async (): Promise<number> => {
      const text = await (await fetch(`${hub.url}/metrics`)).text();
      return Number(/^plumbline_live_messages_lost_total (\d+)$/m.exec(text)![1]);
    };
    const said = (words: string): number => hub.output.split(words).length - 1;
    const [refuses, again] = ['Redis does not take live data', 'Redis takes live data again'];
    // Some were refused while Redis was gone.
    await eventually(() => (said(again) === said(refuses) ? true : null));
    const [before, saidBefore] = [await lost(), said(refuses)];
    await limit('1');
    const trainer = await Trainer.start(hub.url);
    trainer.train(20);
    await trainer.link.flush();
    await eventually(async () => ((await lost()) > before + 1 ? true : null));
    expect(said(refuses)).toBe(saidBefore + 1);
    expect(hub.output).toContain('OOM command not allowed');
    await limit('0');
    // The next message shows it.
    trainer.train(1);
    await eventually(() => (said(again) === saidBefore + 1 ? true : null));
    await trainer.finish();
    trainer.link.close();
  });

  it('notice a trainer that dies with its hub: the other hub reports that the run has failed', async () => {
    const [first, second] = cluster.hubs as [HubProcess, HubProcess];
    const trainer = await Trainer.start(first.url);
    trainer.train(10);
    await trainer.link.flush();
    const client = watching(second);
    await client.until('the run to be known', () => client.run(trainer.runId).catch(() => undefined));
    trainer.link.close();
    await first.kill();
    const run = await client.state(trainer.runId, 'failed');
    expect(run.reason).toMatch(/trainer was lost/);
    await first.start();
    const again = watching(first);
    expect(await again.run(trainer.runId)).toMatchObject({ state: 'failed', lastSeq: 11 });
    for (const each of [client, again]) each.close();
  });

  it('accept a last event that one of them had only on its disk, though the other has given up the run', async () => {
    const [first, second] = cluster.hubs as [HubProcess, HubProcess];
    const trainer = await Trainer.start(first.url);
    trainer.train(10);
    await trainer.link.flush();
    const client = watching(second);
    await client.until('the run to be stored', async () =>
      (await client.history(trainer.runId)).lastSeq >= 11 ? true : undefined,
    );
    cluster.storeProxies[0]!.become({ kind: 'half-open' });
    trainer.train(5);
    expect(await trainer.finish()).toBe(true);
    trainer.link.close();
    await first.kill();
    // This hub knows it as running; the other reported its end while it lived.
    await second.kill();
    await second.start();
    const later = watching(second);
    expect((await later.state(trainer.runId, 'failed')).reason).toMatch(/trainer was lost/);
    cluster.storeProxies[0]!.become({ kind: 'healthy' });
    await first.start();
    const again = watching(first);
    for (const each of [again, later]) {
      const run = await each.until('the last event', async () => {
        const now = await each.run(trainer.runId);
        return now.state === 'finished' ? now : undefined;
      });
      expect(run).toMatchObject({ reason: '', lastSeq: 17 });
    }
    for (const each of [client, later, again]) each.close();
  });

  it('behind nginx keep a browser with one of them, by its cookie', async () => {
    const first = await fetch(`${cluster.url}/healthz`);
    const route = first.headers.getSetCookie()[0]!;
    expect(route).toMatch(/^plumbline_client=[0-9a-f]{32}; Path=\/; HttpOnly; SameSite=Strict$/);
    const again = await fetch(`${cluster.url}/healthz`, { headers: { cookie: route.split(';')[0]! } });
    expect(again.headers.getSetCookie()).toEqual([]);
    // Long polling works only if all its requests reach the same hub.
    const { io } = await import('socket.io-client');
    const polling = io(`${cluster.url}/dashboard`, {
      ...{ transports: ['polling'], upgrade: false, extraHeaders: { cookie: route.split(';')[0]! } },
    });
    await new Promise<void>((resolve, reject) => {
      polling.once('connect', resolve);
      polling.once('connect_error', reject);
    });
    await new Promise((resolve) => setTimeout(resolve, 1000));
    expect(polling.connected).toBe(true);
    polling.close();
  });
});
