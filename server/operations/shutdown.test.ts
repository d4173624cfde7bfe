import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { rawDashboard } from '../../test/support/raw-dashboard.js';
import { aCommand, aRunId, attachment, eventually, started, stepped, TestHub } from '../../test/support/test-hub.js';

const folder = mkdtempSync(join(tmpdir(), 'plumbline-shutdown-'));
afterAll(() => rmSync(folder, { recursive: true }));
/** A built-in trainer that stops, after it was told to, once the file `go` exists. */
const trainerEntry = join(folder, 'trainer.mjs');
writeFileSync(
  trainerEntry,
  `import { existsSync, writeFileSync } from 'node:fs';
  process.on('SIGTERM', () => setInterval(() => existsSync(${JSON.stringify(join(folder, 'go'))}) && process.exit(0), 10));
  writeFileSync(${JSON.stringify(join(folder, 'ready'))}, '');
  setInterval(() => {}, 1000);`,
);

describe('a hub that stops', () => {
  it('is not ready and accepts no new work, while running work continues', async () => {
    const hub = await TestHub.start({ trainerEntry, logLevel: 'info' });
    const cookie = await hub.cookie();
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    await trainer.emitWithAck('events', { events: [started()] });
    const dashboard = hub.dashboard(cookie);
    const known = aCommand(runId, { kind: 'evaluate_now' });
    await dashboard.emitWithAck('command', known);
    const config = RunConfig.parse({ name: 'own' });
    await hub.hub.supervisor.start({ config });
    await eventually(() => (existsSync(join(folder, 'ready')) ? true : null));
    expect((await fetch(`${hub.url}/readyz`)).status).toBe(200);

    const closed = hub.hub.close();
    const refused = {
      ok: false,
      error: { code: 'draining', message: expect.stringContaining('Try again'), retry: true },
    };
    const ready = await fetch(`${hub.url}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([503, { ready: false, problems: [refused.error] }]);
    expect((await fetch(`${hub.url}/healthz`)).status).toBe(200);
    expect(await hub.trainer().emitWithAck('attach', attachment(aRunId()))).toEqual(refused);
    expect(await dashboard.emitWithAck('command', aCommand(runId, { kind: 'pause' }))).toEqual(refused);
    expect(await dashboard.emitWithAck('command', known)).toMatchObject({ ok: true, record: { state: 'pending' } });
    const start = await hub.request('POST', '/runs', { config }, { cookie });
    expect([start.status, await start.json()]).toEqual([503, { error: refused.error }]);
    // A trainer that was attached before continues until the hub's own trainers have stopped.
    expect(await trainer.emitWithAck('events', { events: [stepped(2)] })).toEqual({ ok: true, lastSeq: 2 });
    writeFileSync(join(folder, 'go'), '');
    await closed;
    await expect(fetch(`${hub.url}/healthz`)).rejects.toThrow();
    expect(hub.logged.at(-1)).toMatchObject({ msg: 'hub stopped' });
    rmSync(hub.config.dataDir, { recursive: true });
  });

  it('answers every batch that it has received: the stored events are the acknowledged ones', async () => {
    const hub = await TestHub.start();
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    let acknowledged = 0;
    const batches = Array.from({ length: 40 }, (_, batch) =>
      Array.from({ length: 25 }, (_, i) => (batch + i === 0 ? started() : stepped(batch * 25 + i + 1))),
    );
    for (const events of batches)
      trainer.emit(
        'events',
        { events },
        (answer) => answer.ok && (acknowledged = Math.max(acknowledged, answer.lastSeq)),
      );
    await eventually(() => (acknowledged > 0 ? true : null));
    const gone = new Promise((resolve) => trainer.once('disconnect', resolve));
    await hub.hub.close();
    await gone;
    trainer.disconnect();
    await hub.open();
    expect((await hub.hub.runs.get(runId)).lastSeq).toBe(acknowledged);
    await hub.remove();
  });

  it('sends everything that was stored to its watchers, as fast as they read', async () => {
    const hub = await TestHub.start();
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const slow = await rawDashboard(hub.url);
    slow.send(`42/dashboard,0${JSON.stringify(['watch', { runId }])}`);
    await eventually(() => (slow.text().includes('43/dashboard,0') ? true : null));
    slow.socket.pause();
    // About 14 MB: more than the buffers between two sockets hold.
    const metrics = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`drift/group_${i}`, i / 3]));
    const names = [...Object.keys(metrics), 'the/last'];
    const events = Array.from({ length: 80 }, (_, i) => stepped(i + 2, metrics, names));
    await trainer.emitWithAck('events', { events: [started(1, names), ...events] });
    const more = Array.from({ length: 80 }, (_, i) => stepped(i + 82, metrics, names));
    await trainer.emitWithAck('events', { events: [...more, stepped(162, { 'the/last': 1 }, names)] });
    const ended = once(slow.socket, 'close');
    const closed = hub.hub.close();
    await sleep(300);
    slow.socket.resume();
    await eventually(() => (slow.text().includes('"the/last":1') ? true : null));
    // A browser answers the close of a WebSocket by itself.
    slow.socket.end();
    await Promise.all([closed, ended]);
    rmSync(hub.config.dataDir, { recursive: true });
  });

  it('does not wait for a client that does not read', async () => {
    const hub = await TestHub.start({ logLevel: 'warn' });
    const client = await rawDashboard(hub.url);
    client.socket.pause();
    const cut = once(client.socket, 'close');
    await hub.hub.close();
    expect(hub.logged).toMatchObject([{ level: 40, connections: 1, msg: expect.stringContaining('are cut') }]);
    client.socket.resume();
    await cut;
    rmSync(hub.config.dataDir, { recursive: true });
  });

  it('exits at the limit, and says what is still open', async () => {
    const hub = await TestHub.start({ shutdownLimitMs: 300, logLevel: 'error' });
    const { store } = hub.hub.runs;
    const close = store.close.bind(store);
    // A disk that does not answer.
    store.close = () => new Promise(() => {});
    await expect(hub.hub.close()).rejects.toThrow('within 0.3 s and exits now. Still open: store');
    expect(hub.logged).toMatchObject([{ level: 50, step: 'store', underWay: 0, connections: 0 }]);
    await close();
    rmSync(hub.config.dataDir, { recursive: true });
  });
});
