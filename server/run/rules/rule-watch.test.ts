import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { firedAt, losses, probed, rule, ruledRuns, saved } from '../../../test/support/ruled-runs.js';
import {
  aCommand,
  aRunId,
  asStored,
  attachment,
  eventually,
  started,
  TestHub,
} from '../../../test/support/test-hub.js';
import { StoreUnavailableError } from '../../store/event-store.js';

/** A receiver of webhooks. */
let receiver: Server;
let hook = '';
let received: Record<string, unknown>[] = [];
/** What it answers. */
let status = 204;

let hub: TestHub;
beforeAll(async () => {
  receiver = createServer((request, response) => {
    let body = '';
    request.on('data', (chunk: Buffer) => (body += chunk.toString()));
    request.on('end', () => {
      received.push(JSON.parse(body) as Record<string, unknown>);
      response.writeHead(status).end();
    });
  }).listen(0, '127.0.0.1');
  await once(receiver, 'listening');
  const host = `127.0.0.1:${(receiver.address() as AddressInfo).port}`;
  hook = `http://${host}/hook`;
  hub = await TestHub.start({ webhooks: { secret: 'a secret of the test', hosts: [host] } });
});
afterAll(async () => {
  await hub.remove();
  receiver.close();
});
beforeEach(() => {
  received = [];
  status = 204;
});

const { attach, running, send, log, logged, states, stands } = ruledRuns(() => hub);

describe('a rule', () => {
  it('gives its command once, by its name and with the values that made it fire', async () => {
    const { runId, trainer, commands } = await running();
    await send(trainer, losses(2, 0.5, 2, 3, 4));
    expect(await logged(runId, 1)).toMatchObject([
      {
        commandId: firedAt(runId, 4),
        author: 'rule:high loss',
        action: { kind: 'pause' },
        state: 'pending',
        cause: 'train/loss was 3 nats at step 4: above 1 for 2 values in a row (the last values: 2, 3 nats)',
      },
    ]);
    await eventually(() => (commands.length > 0 ? true : null));
    const applied = {
      type: 'command_applied',
      step: 5,
      wallTimeMs: 1_700_000_000_001,
      commandId: firedAt(runId, 4),
    } as const;
    await send(trainer, [{ ...applied, seq: 6, before: { paused: false }, after: { paused: true } }]);
    await send(trainer, losses(7, 5, 6, 0));
    await stands(runId, true, 1);
    expect(await log(runId)).toMatchObject([{ state: 'applied', step: 5, cause: expect.stringContaining('was 3') }]);
    expect(commands).toHaveLength(1);
  });

  it('fires again once its series was back', async () => {
    const { runId, trainer } = await running([rule({ rearmMargin: 0.5 })]);
    await send(trainer, losses(2, 2, 2, 0.9, 2, 2));
    await stands(runId, false, 1);
    await send(trainer, losses(7, 0.5, 2, 2));
    await stands(runId, false, 2);
    expect((await logged(runId, 2)).map(({ commandId }) => commandId)).toEqual([firedAt(runId, 3), firedAt(runId, 9)]);
  });

  it('is reported to watchers when it fires and when it is armed again', async () => {
    const { runId, trainer } = await running();
    const dashboard = hub.dashboard();
    const seen: boolean[] = [];
    dashboard.on('rules', ({ rules }) => seen.push(rules[0]!.armed));
    await dashboard.emitWithAck('watch', { runId });
    await send(trainer, losses(2, 2, 2));
    await eventually(() => (seen.at(-1) === false ? true : null));
    await send(trainer, losses(4, 0));
    await eventually(() => (seen.at(-1) === true ? true : null));
    expect(await states(runId)).toMatchObject([{ armed: true, firings: 1, last: { step: 3, value: 2 } }]);
  });

  it('whose command cannot be carried out has a record that says why', async () => {
    const { runId, trainer, commands } = await running();
    await send(trainer, [{ type: 'run_paused', seq: 2, step: 1, wallTimeMs: 1_700_000_000_001, reason: '' }]);
    await send(trainer, losses(3, 2, 2));
    expect(await logged(runId, 1)).toMatchObject([{ state: 'rejected', reason: 'The run is paused already.' }]);
    expect(commands).toEqual([]);
  });
});

describe('a rule does not fire twice', () => {
  it('when its trainer reconnects and repeats events', async () => {
    const { runId, trainer } = await running();
    await send(trainer, losses(2, 2, 2));
    await logged(runId, 1);
    trainer.disconnect();
    await hub.until(runId, (run) => !run.trainerConnected);
    const back = await attach(runId, [rule()]);
    // What was open is sent again, under its id: a trainer takes that once.
    await eventually(() => (back.commands.length > 0 ? true : null));
    await send(back.trainer, [started(), ...losses(2, 2, 2, 2, 2)]);
    await send(back.trainer, losses(6, 0));
    await stands(runId, true, 1);
    expect((await log(runId)).map(({ commandId }) => commandId)).toEqual([firedAt(runId, 3)]);
    expect(new Set(back.commands.map(({ commandId }) => commandId))).toEqual(new Set([firedAt(runId, 3)]));
  });

  it('when the hub is restarted, and still fires the next time', async () => {
    const { runId, trainer } = await running();
    await send(trainer, losses(2, 2, 2));
    await logged(runId, 1);
    await hub.restart();
    const back = await attach(runId, [rule()]);
    await send(back.trainer, losses(4, 2, 2, 2, 0));
    await stands(runId, true, 1);
    expect(await log(runId)).toHaveLength(1);
    await send(back.trainer, losses(8, 2, 2));
    await stands(runId, false, 2);
    expect((await logged(runId, 2)).map(({ commandId }) => commandId)).toEqual([firedAt(runId, 3), firedAt(runId, 9)]);
  });

  it('and its row of values continues after a restart', async () => {
    const { runId, trainer } = await running();
    await send(trainer, losses(2, 2));
    await hub.restart();
    const back = await attach(runId, [rule()]);
    await send(back.trainer, losses(3, 2));
    expect((await logged(runId, 1)).map(({ commandId }) => commandId)).toEqual([firedAt(runId, 3)]);
  });

  it('and does fire when the hub died between storing the value and giving the command', async () => {
    const { runId } = await running([rule({ actions: [{ kind: 'save_checkpoint' }, { kind: 'pause' }] })]);
    await hub.hub.runs.store.append(runId, losses(2, 2, 2).map(asStored));
    await hub.restart();
    // No trainer is there, and none sends anything.
    const records = await logged(runId, 2);
    expect(records.map(({ action, author }) => [action.kind, author])).toEqual([
      ['save_checkpoint', 'rule:high loss'],
      ['pause', 'rule:high loss'],
    ]);
    await hub.restart();
    await stands(runId, false, 1);
    expect((await log(runId)).map(({ commandId }) => commandId)).toEqual(records.map(({ commandId }) => commandId));
  });

  it('and fires late when the store could not be written', async () => {
    const { runId, trainer } = await running();
    const { store } = hub.hub.runs;
    const { putCommand } = store;
    let refusals = 0;
    store.putCommand = () => {
      refusals++;
      return Promise.reject(new StoreUnavailableError('The disk is full.'));
    };
    await send(trainer, losses(2, 2, 2));
    await eventually(() => (refusals > 0 ? true : null));
    store.putCommand = putCommand;
    await send(trainer, losses(4, 2));
    expect((await logged(runId, 1)).map(({ commandId }) => commandId)).toEqual([firedAt(runId, 3)]);
  });
});

const restore = { kind: 'restore_best_checkpoint', metric: 'held_out/mean/accuracy', better: 'higher' };
describe('a rule that goes back', () => {
  const drop = rule({
    name: 'drop',
    metric: 'held_out/mean/accuracy',
    condition: { kind: 'change_from_base', side: 'below', by: 5 },
    actions: [restore],
  });
  const begun = { ...started(), baseline: { 'held_out/mean/accuracy': 97 } };

  it('restores the best checkpoint, but not again in the branch', async () => {
    const runId = aRunId();
    const { trainer, commands } = await attach(runId, [drop]);
    await send(trainer, [begun, probed(2, 0, 97), saved(3, 0), probed(4, 10, 98), saved(5, 10), probed(6, 20, 93)]);
    await send(trainer, [saved(7, 20), probed(8, 30, 90)]);
    const [record] = await logged(runId, 1);
    expect(record).toMatchObject({
      author: 'rule:drop',
      state: 'pending',
      action: { kind: 'restore_checkpoint', checkpointId: 'step-10', branchRunId: expect.any(String) },
      cause:
        'held_out/mean/accuracy was 90 % at step 30, base 97 %: more than 5 below the base model (change −7 pp). ' +
        'step-10 has the highest held_out/mean/accuracy: 98 % at step 10',
    });
    await eventually(() => (commands.length > 0 ? true : null));
    const { action } = commands[0]!;
    if (action.kind !== 'restore_checkpoint') throw new Error(`got ${action.kind}`);
    const said = { step: 30, wallTimeMs: 1_700_000_000_002, commandId: record!.commandId, before: {}, after: {} };
    await send(trainer, [
      { type: 'command_applied', seq: 9, ...said },
      { type: 'run_stopped', seq: 10, step: 30, wallTimeMs: 1_700_000_000_002, reason: 'continued' },
    ]);

    // The same trainer goes on as the branch, with the same rules on values of its own.
    const branchRunId = action.branchRunId!;
    const parent = { runId, checkpointId: action.checkpointId, step: 10 };
    const { run } = attachment(branchRunId, { rules: [drop] });
    expect(await trainer.emitWithAck('attach', { runId: branchRunId, run, parent })).toMatchObject({ ok: true });
    await send(trainer, [{ ...begun, step: 10 }, probed(2, 10, 98), saved(3, 10)]);
    expect(await states(branchRunId)).toMatchObject([{ armed: true, firings: 0 }]);
    await send(trainer, [probed(4, 30, 90)]);
    expect(await logged(branchRunId, 1)).toMatchObject([
      {
        state: 'rejected',
        author: 'rule:drop',
        reason: expect.stringContaining(`gone back once already, from ${runId}`),
      },
    ]);
  });

  it('asks the store for no whole series, however long, to find the best checkpoint', async () => {
    const { store } = hub.hub.runs;
    const { history } = store;
    const limits: (number | undefined)[] = [];
    store.history = (id, range, ...rest) => {
      limits.push(range.maxValues);
      return history.call(store, id, range, ...rest);
    };
    try {
      const runId = aRunId();
      const { trainer } = await attach(runId, [drop]);
      await send(trainer, [begun, probed(2, 10, 97), saved(3, 10), probed(4, 20, 90)]);
      expect(await logged(runId, 1)).toMatchObject([{ action: { checkpointId: 'step-10' } }]);
      expect(limits).toEqual([expect.any(Number)]);
    } finally {
      store.history = history;
    }
  });

  it('says so when there is nothing to go back to', async () => {
    const runId = aRunId();
    const { trainer } = await attach(runId, [drop]);
    await send(trainer, [begun, probed(2, 10, 90)]);
    expect(await logged(runId, 1)).toMatchObject([
      { state: 'rejected', reason: expect.stringContaining('no checkpoint by whose time') },
    ]);
  });
});

describe('a rule whose action needs a store that cannot be read', () => {
  const goBack = () => rule({ name: 'back', actions: [restore, { kind: 'notify', url: hook }] });
  const unreadable = () => {
    const { store } = hub.hub.runs;
    const { history } = store;
    let refusals = 0;
    store.history = () => Promise.reject(new StoreUnavailableError(`Away for the ${++refusals}th time.`));
    return { refused: () => eventually(() => (refusals > 0 ? true : null)), end: () => (store.history = history) };
  };

  it('keeps no other rule from acting, and acts itself, in its order, once it can be read', async () => {
    const { runId, trainer } = await running([goBack(), rule()]);
    await send(trainer, losses(2, 0));
    await eventually(async () => ((await states(runId))[0]?.armed ? true : null));
    const away = unreadable();
    await send(trainer, losses(3, 2, 2));
    await away.refused();
    expect(await logged(runId, 1)).toMatchObject([{ author: 'rule:high loss', action: { kind: 'pause' } }]);
    away.end();
    await send(trainer, losses(5, 2));
    const records = await logged(runId, 3);
    expect(records.map(({ author, action }) => [author, action.kind])).toEqual([
      ['rule:high loss', 'pause'],
      ['rule:back', 'restore_best_checkpoint'],
      ['rule:back', 'notify'],
    ]);
  });

  it("does not hold up its trainer's last word, and is answered for before the run is stored as ended", async () => {
    const { runId, trainer } = await running([goBack()]);
    await send(trainer, losses(2, 0));
    await eventually(async () => ((await states(runId))[0]?.armed ? true : null));
    const away = unreadable();
    // Of a run that has not ended when it fires: the store is asked.
    await send(trainer, losses(3, 2, 2));
    await away.refused();
    const { putCommand } = hub.hub.runs.store;
    hub.hub.runs.store.putCommand = () => Promise.reject(new StoreUnavailableError('Away.'));
    await send(trainer, [{ type: 'run_finished', seq: 5, step: 4, wallTimeMs: 1_700_000_009_000 }]);
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'finished', lastSeq: 5 });
    expect(await hub.hub.runs.store.run(runId)).toMatchObject({ state: 'running' });
    hub.hub.runs.store.putCommand = putCommand;
    away.end();
    await eventually(async () => ((await hub.hub.runs.store.run(runId))!.state === 'finished' ? true : null));
    expect(await log(runId)).toMatchObject([
      { action: { kind: 'restore_best_checkpoint' }, state: 'rejected' },
      { action: { kind: 'notify' } },
    ]);
  });
});

describe('a run that fails', () => {
  it('sends its notification and restores nothing, and its log says so', async () => {
    const odd = rule({
      name: 'NaN',
      condition: { kind: 'not_finite' },
      actions: [restore, { kind: 'notify', url: hook }],
    });
    const { runId, trainer } = await running([odd]);
    await send(trainer, [
      ...[probed(2, 0, 97), saved(3, 0)],
      ...losses(4, 1, 'NaN'),
      { type: 'run_failed', seq: 6, step: 5, wallTimeMs: 1_700_000_000_001, reason: 'The loss became NaN.' },
    ]);
    // Written before the batch was acknowledged: a run that is stored as ended has given all its commands.
    expect(await log(runId)).toMatchObject([
      {
        action: { kind: 'restore_best_checkpoint' },
        state: 'rejected',
        reason:
          "The run has ended (failed). If one of its checkpoints is on the hub's machine, start a new run from it instead.",
      },
      { action: { kind: 'notify', url: hook } },
    ]);
    const told = await eventually(async () => (await log(runId)).find(({ state }) => state === 'applied') ?? null);
    expect(told).toMatchObject({ step: 5, after: { status: 204, attempts: 1 } });
    expect(received).toMatchObject([{ id: told.commandId, run: runId, rule: 'NaN', step: 5, value: 'NaN' }]);
  });
});

describe('a notification', () => {
  const notify = () => rule({ actions: [{ kind: 'notify', url: hook }] });

  it('that was not delivered is tried again after a restart, under the same id', async () => {
    const { runId, trainer } = await running([notify()]);
    status = 503;
    await send(trainer, losses(2, 2, 2));
    await eventually(() => (received.length > 0 ? true : null));
    expect(await log(runId)).toMatchObject([{ state: 'pending', author: 'rule:high loss' }]);
    await hub.restart();
    status = 204;
    await eventually(async () => ((await log(runId))[0]!.state === 'applied' ? true : null));
    expect(new Set(received.map(({ id }) => id))).toEqual(new Set([firedAt(runId, 3)]));
  });

  it('of a run that has ended is tried again too', async () => {
    const { runId, trainer } = await running([notify()]);
    status = 503;
    await send(trainer, [...losses(2, 2, 2), { type: 'run_finished', seq: 4, step: 3, wallTimeMs: 1_700_000_000_001 }]);
    await eventually(() => (received.length > 0 ? true : null));
    await hub.restart();
    status = 204;
    await eventually(async () => ((await log(runId))[0]!.state === 'applied' ? true : null));
    expect(new Set(received.map(({ id }) => id))).toEqual(new Set([firedAt(runId, 3)]));
  });

  it('of a rule that was set in mid-run is tried again too', async () => {
    const { runId, trainer } = await running([]);
    status = 503;
    await hub.hub.runs.command(aCommand(runId, { kind: 'set_rules', rules: [notify()] }), 'dashboard');
    await send(trainer, [...losses(2, 2, 2), { type: 'run_finished', seq: 4, step: 3, wallTimeMs: 1_700_000_000_001 }]);
    await eventually(() => (received.length > 0 ? true : null));
    await hub.restart();
    status = 204;
    await eventually(async () => ((await log(runId)).at(-1)!.state === 'applied' ? true : null));
    expect(new Set(received.map(({ id }) => id))).toEqual(new Set([firedAt(runId, 3)]));
  });

  it('of a rule that was set in mid-run has failed where the hub has no secret any more', async () => {
    const { host } = new URL(hook);
    const own = await TestHub.start({ webhooks: { secret: 'a secret of the test', hosts: [host] } });
    const runs = ruledRuns(() => own);
    const { runId, trainer } = await runs.running([]);
    status = 503;
    await own.hub.runs.command(aCommand(runId, { kind: 'set_rules', rules: [notify()] }), 'dashboard');
    await runs.send(trainer, [
      ...losses(2, 2, 2),
      { type: 'run_finished', seq: 4, step: 3, wallTimeMs: 1_700_000_000_001 },
    ]);
    await eventually(() => (received.length > 0 ? true : null));
    Object.assign(own.config, { webhooks: { secret: null, hosts: [] } });
    await own.restart();
    await own.hub.runs.list();
    const told = await eventually(async () => (await runs.log(runId)).find(({ state }) => state === 'failed') ?? null);
    expect(told.reason).toContain('set PLUMBLINE_WEBHOOK_SECRET');
    await own.remove();
  });

  it('that is refused has failed, with its receiver’s answer', async () => {
    const { runId, trainer } = await running([notify()]);
    status = 410;
    await send(trainer, losses(2, 2, 2));
    const [record] = await eventually(async () => {
      const records = await log(runId);
      return records[0] && records[0].state !== 'pending' ? records : null;
    });
    expect(record).toMatchObject({ state: 'failed', step: 3, reason: expect.stringMatching(/answered 410\.$/) });
  });

  it('is no command of a person’s', async () => {
    const { runId } = await running();
    const dashboard = hub.dashboard(await hub.cookie());
    const action = { ...{ kind: 'notify', url: hook, rule: 'x', metric: 'a/b', step: 1, value: 1, firedMs: 1 } };
    const command = { commandId: 'forged-command', runId, action };
    expect(await dashboard.emitWithAck('command', command as never)).toMatchObject({
      ok: false,
      error: { code: 'invalid' },
    });
    expect(received).toEqual([]);
  });

  it('is refused with the run where the hub would not send it', async () => {
    const cookie = await hub.cookie();
    const start = async (url: string) => {
      const config = RunConfig.parse({ name: 'x', rules: [rule({ actions: [{ kind: 'notify', url }] })] });
      const response = await hub.request('POST', '/runs', { config }, { cookie });
      return [response.status, await response.json()];
    };
    expect(await start('https://elsewhere.example/hook')).toMatchObject([
      400,
      { error: { message: expect.stringMatching(/"high loss" cannot notify.*PLUMBLINE_WEBHOOK_HOSTS/) } },
    ]);
    const plain = await TestHub.start();
    const refused = await plain.trainer().emitWithAck('attach', attachment(aRunId(), { rules: [notify()] }));
    expect(refused).toMatchObject({ error: { message: expect.stringContaining('set PLUMBLINE_WEBHOOK_SECRET') } });
    await plain.remove();
  });
});
