import { afterEach, describe, expect, it } from 'vitest';
import {
  aCommand,
  aRunId,
  attachment,
  eventually,
  finished,
  started,
  stepped,
  TestHub,
} from '../../test/support/test-hub.js';
import { createLog, logFault } from './hub-log.js';

let hub: TestHub;
afterEach(() => hub?.remove());
const [info, warn, error] = [30, 40, 50];
const lines = () => hub.logged.map(({ level, msg }) => [level, msg]);

async function aWholeRun(cookie: string) {
  const runId = aRunId();
  const trainer = await hub.attached(runId);
  await trainer.emitWithAck('events', { events: [started(), stepped(2)] });
  const command = aCommand(runId, { kind: 'pause' });
  await hub.dashboard(cookie).emitWithAck('command', command);
  const applied = {
    type: 'command_applied',
    seq: 3,
    step: 2,
    wallTimeMs: 1_700_000_000_001,
    before: {},
    after: {},
  } as const;
  const events = [{ ...applied, commandId: command.commandId }, finished(4)];
  await trainer.emitWithAck('events', { events });
  trainer.disconnect();
  await hub.until(runId, (run) => !run.trainerConnected);
  return { runId, commandId: command.commandId };
}

describe('the log', () => {
  it('at info tells the story of a run and its commands, with their ids', async () => {
    hub = await TestHub.start({ logLevel: 'info' });
    const { runId, commandId } = await aWholeRun(await hub.cookie());
    expect(lines()).toEqual([
      [info, 'hub started'],
      [info, 'run created'],
      [info, 'trainer attached'],
      [info, 'run running'],
      [info, 'command given'],
      [info, 'run ended'],
      [info, 'command applied'],
      [info, 'trainer detached'],
    ]);
    expect(hub.logged[3]).toMatchObject({ runId, state: 'running', step: 2 });
    expect(hub.logged[6]).toMatchObject({
      runId,
      commandId,
      author: 'dashboard',
      kind: 'pause',
      state: 'applied',
      step: 2,
    });
  });

  it('at warn is empty while nothing is wrong, and warns of refused events', async () => {
    hub = await TestHub.start({ logLevel: 'warn' });
    await aWholeRun(await hub.cookie());
    await hub.restart();
    expect(hub.logged).toEqual([]);
    const runId = aRunId();
    await (await hub.attached(runId)).emitWithAck('events', { events: [stepped(5)] });
    expect(hub.logged).toMatchObject([{ level: warn, msg: 'events refused', runId, code: 'gap' }]);
  });

  it('has a failure of the store once, however many calls fail', async () => {
    hub = await TestHub.start({ logLevel: 'warn' });
    const trainer = await hub.attached(aRunId());
    await hub.hub.runs.store.close();
    for (let i = 0; i < 50; i++) await trainer.emitWithAck('events', { events: [started()] });
    expect(hub.logged.filter(({ level }) => level >= error)).toMatchObject([
      { msg: 'store failed', operation: 'append', err: { message: expect.stringContaining('closed') } },
    ]);
  });

  it('at debug has every request, and never a secret', async () => {
    hub = await TestHub.start({ logLevel: 'debug' });
    const link = hub.hub.sessions.createLink();
    await fetch(`${hub.url}/api/runs?token=${link}`, { headers: { authorization: `Bearer ${hub.token}` } });
    const cookie = await hub.cookie();
    await hub.request('GET', '/session', undefined, { cookie });
    await aWholeRun(cookie);
    const requests = await eventually(() => {
      const found = hub.logged.filter(({ msg }) => msg === 'request');
      return found.length >= 3 ? found : null;
    });
    expect(requests[0]).toMatchObject({ method: 'GET', path: '/api/runs', status: 200 });
    const text = JSON.stringify(hub.logged);
    for (const secret of [link, hub.token, cookie.split('=')[1]!]) expect(text).not.toContain(secret);
  });

  it('censors a secret that is logged by mistake', () => {
    let text = '';
    const log = createLog('info', { write: (line) => (text += line) });
    log.info({
      token: 's3cret',
      headers: { cookie: 's3cret', authorization: 's3cret' },
      req: { headers: { cookie: 's3cret' } },
    });
    expect(text).toContain('[secret]');
    expect(text).not.toContain('s3cret');
  });
});

describe('what clients send', () => {
  it('does not fill the log, however often it is refused', async () => {
    hub = await TestHub.start({ logLevel: 'info' });
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    for (let i = 0; i < 50; i++) await trainer.emitWithAck('events', { events: [stepped(5)] });
    expect(hub.logged.filter(({ msg }) => msg === 'events refused')).toMatchObject([
      { level: warn, code: 'gap', runId },
    ]);

    const theirs = aRunId();
    await hub.trainer().emitWithAck('attach', { ...attachment(theirs), secret: 'x'.repeat(32) });
    const stranger = hub.trainer();
    for (let i = 0; i < 20; i++) {
      await stranger.emitWithAck('attach', attachment(theirs));
      await stranger.emitWithAck('attach', { runId, run: {} } as never);
      await stranger.emitWithAck('attach', 'nothing' as never);
    }
    expect(hub.logged.filter(({ msg }) => msg === 'attach refused')).toMatchObject([
      {
        level: warn,
        code: 'forbidden',
        runId: theirs,
        reason: expect.stringContaining('belongs to the trainer that opened it'),
      },
      { level: warn, code: 'invalid', runId, reason: expect.stringContaining('name') },
      { level: warn, code: 'invalid', runId: null },
    ]);

    const refusals: unknown[] = [];
    for (let i = 0; i < 10; i++) {
      const stranger = hub.trainer({ token: 'wrong', protocol: 1 });
      stranger.on('connect_error', (error) => refusals.push(error));
    }
    await eventually(() => (refusals.length === 10 ? true : null));
    expect(hub.logged.filter(({ msg }) => msg === 'connection refused')).toMatchObject([
      { level: info, address: '127.0.0.1', reason: expect.stringContaining('trainer token is wrong') },
    ]);
  });

  it('reaches no terminal as a control character', () => {
    let text = '';
    const log = createLog('info', { write: (line) => (text += line) });
    const sent = '\u001b[31m\u0000\u007f\u009b2J\u202e\u2028\u2066';
    log.info({ sent }, sent);
    expect(text).toMatch(/^[\x20-\x7e]+\n$/);
    expect(JSON.parse(text)).toMatchObject({ sent, msg: sent });
  });

  it.each([[undefined], [null], [''], [{ reason: 'odd' }], [new Error('')], [new TypeError('why')]])(
    'makes no line without words where a fault of the hub shows (%s)',
    (fault) => {
      const lines: { msg: string; err: { message: string } }[] = [];
      logFault(createLog('error', { write: (line) => void lines.push(JSON.parse(line) as (typeof lines)[0]) }), fault);
      expect(lines).toHaveLength(1);
      expect(lines[0]!.msg).toMatch(/\w/);
    },
  );
});
