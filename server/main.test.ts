import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { aRunId, attachment, started, stepped, TestHub } from '../test/support/test-hub.js';
import { readConfig, readInfluxSetupConfig } from './config.js';
import { startHub } from './main.js';

describe('starting the hub', () => {
  it('on a port in use names the port and another one', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as AddressInfo;
    await expect(TestHub.start({ port })).rejects.toThrow(`Port ${port} of 127.0.0.1 is in use.`);
    await expect(TestHub.start({ port })).rejects.toThrow(`--port ${port + 1}`);
    other.close();
  });

  it('on an address that this machine does not have says so', async () => {
    await expect(TestHub.start({ host: '192.0.2.1' })).rejects.toThrow('This machine has no address "192.0.2.1"');
  });

  it('in a data folder that cannot be used says which', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'plumbline-main-'));
    writeFileSync(join(folder, 'file'), '');
    const dataDir = join(folder, 'file', 'data');
    await expect(startHub({ ...readConfig(), port: 0, dataDir })).rejects.toThrow(
      `The data folder ${dataDir} cannot be used`,
    );
    rmSync(folder, { recursive: true });
  });

  it.each([
    ['PLUMBLINE_PORT', 'http'],
    ['PLUMBLINE_PORT', '70000'],
    ['PLUMBLINE_HOST', ''],
    ['PLUMBLINE_GRID_INTENSITY', 'much'],
    ['PLUMBLINE_GRID_INTENSITY', ''],
    ['PLUMBLINE_PUE', '0.9'],
    ['PLUMBLINE_WATTS_PER_CORE', '0'],
    ['PLUMBLINE_SHUTDOWN_LIMIT_MS', '2147483648'],
  ] as const)('with %s=%s names the setting by the flag it came from', (name, value) => {
    const flag = `--${name.slice('PLUMBLINE_'.length).toLowerCase().replaceAll('_', '-')}`;
    expect(() => readConfig({ [name]: value })).toThrow(`${flag} cannot be "${value}"`);
  });

  it.each([
    ['PLUMBLINE_WEBHOOK_SECRET', 'fifteen-letters', 'what was given'],
    ['PLUMBLINE_REDIS_URL', 'http://hub:fifteen-letters@redis', '"http://…@redis"'],
    ['PLUMBLINE_INFLUX_URL', 'hub:fifteen-letters@host', '"hub:…@host"'],
  ])('with a wrong %s does not repeat the secret in it', (name, value, said) => {
    const read = () => readConfig({ [name]: value });
    expect(read).toThrow(` cannot be ${said}: `);
    expect(read).not.toThrow('fifteen');
  });

  it('with a wrong password for setup does not repeat it', () => {
    expect(() => readInfluxSetupConfig({ PLUMBLINE_INFLUX_PASSWORD: 'short' })).toThrow(
      '--influx-password cannot be what was given: it has at least 8 characters.',
    );
  });

  it.each([
    ['0.0.0.0', 'open', 1],
    ['0.0.0.0', 'session', 0],
    ['127.0.0.1', 'open', 0],
  ] as const)('on %s with watching %s gives %i warnings that others can watch', async (host, watch, warnings) => {
    const hub = await TestHub.start({ host, watch, logLevel: 'warn' });
    await hub.remove();
    expect(hub.logged.filter(({ msg }) => msg.includes('PLUMBLINE_WATCH=session'))).toHaveLength(warnings);
  });

  it('takes host names in any case, as they are asked for in one', () => {
    expect(readConfig({ PLUMBLINE_ALLOWED_HOSTS: 'Plumb.Example, other' }).allowedHosts).toEqual([
      ...['plumb.example', 'other'],
    ]);
  });

  it('takes the grid’s intensity with a fraction, and says what a wrong one has to be', () => {
    expect(readConfig().energy).toEqual({ gridIntensity: 473, powerUsageEffectiveness: 1, wattsPerCore: null });
    const given = { PLUMBLINE_GRID_INTENSITY: '21.3', PLUMBLINE_PUE: '1.2', PLUMBLINE_WATTS_PER_CORE: '6.5' };
    expect(readConfig(given).energy).toEqual({ gridIntensity: 21.3, powerUsageEffectiveness: 1.2, wattsPerCore: 6.5 });
    expect(() => readConfig({ PLUMBLINE_WATTS_PER_CORE: '-1' })).toThrow('it is above 0.');
    expect(() => readConfig({ PLUMBLINE_GRID_INTENSITY: '12 g' })).toThrow('it has to be a number.');
    expect(() => readConfig({ PLUMBLINE_MAX_TRAINERS: '1.5' })).toThrow('it has to be a whole number.');
  });
});

describe('a store that cannot be used', () => {
  it('leaves the hub up: it acknowledges nothing, says why, and goes on when the store is back', async () => {
    const dataDir = mkdtempSync(join(tmpdir(), 'plumbline-damaged-'));
    const file = join(dataDir, 'plumbline.duckdb');
    writeFileSync(file, 'not a database, '.repeat(1000));
    const hub = await TestHub.start({ dataDir });
    expect(hub.hub.storeProblem).toMatch(/is damaged/);
    expect((await fetch(`${hub.url}/healthz`)).status).toBe(200);
    const ready = await fetch(`${hub.url}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([
      503,
      {
        ready: false,
        problems: [{ code: 'store_failed', message: expect.stringContaining('plumbline -- repair'), retry: true }],
      },
    ]);
    const trainer = hub.trainer();
    const runId = aRunId();
    const attach = attachment(runId);
    expect(await trainer.emitWithAck('attach', attach)).toMatchObject({
      ok: false,
      error: { code: 'store_failed', message: expect.stringContaining('plumbline -- repair') },
    });
    rmSync(file);
    expect(await trainer.emitWithAck('attach', attach)).toEqual({ ok: true, lastSeq: 0, nextSeries: 0 });
    expect((await fetch(`${hub.url}/readyz`)).status).toBe(200);

    // A folder that goes away under a running hub: what was sent stays with the trainer until it can be kept.
    await hub.hub.runs.store.close();
    expect(await trainer.emitWithAck('events', { events: [started(), stepped(2)] })).toMatchObject({
      ok: false,
      error: { code: 'store_failed' },
    });
    expect((await hub.hub.runs.get(runId)).lastSeq).toBe(0);
    expect((await fetch(`${hub.url}/readyz`)).status).toBe(503);
    await hub.remove();
  });
});
