import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { io, type Socket } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { protocolVersion, type HubToTrainer, type TrainerToHub } from '@plumbline/shared/socket';
import { ServerProcess } from '../support/cluster.js';
import { freePort, HubProcess } from '../support/hub-process.js';
import { InfluxServer } from '../support/influx-server.js';
import { aRunId, attachment, started, stepped } from '../support/test-hub.js';

const cli = fileURLToPath(new URL('../../server/dist/cli.js', import.meta.url));

/** A hub with an Influx store and Redis, whose spool no other process may touch. */
let influx: InfluxServer;
let redis: ServerProcess;
let hub: HubProcess;
let taken: Server;
let env: NodeJS.ProcessEnv;
const folder = mkdtempSync(join(tmpdir(), 'plumbline-in-use-'));
const runId = aRunId();

beforeAll(async () => {
  influx = await InfluxServer.start();
  const port = await freePort();
  redis = new ServerProcess('redis-server', ['--port', String(port), '--bind', '127.0.0.1', '--save', ''], port);
  await redis.start();
  env = {
    ...{ PLUMBLINE_STORE: 'influx', PLUMBLINE_INFLUX_URL: influx.url, PLUMBLINE_INFLUX_ORG: influx.org },
    ...{ PLUMBLINE_INFLUX_BUCKET: await influx.bucket(), PLUMBLINE_INFLUX_TOKEN: influx.token },
    ...{ PLUMBLINE_REDIS_URL: `redis://127.0.0.1:${port}` },
  };
  hub = await HubProcess.start({ env });
  taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
});
afterAll(async () => {
  taken?.close();
  await hub?.remove();
  await redis?.kill();
  await influx?.remove();
  rmSync(folder, { recursive: true });
});

/** Runs the built program, which must end by itself. */
const plumbline = (...args: string[]): Promise<{ code: unknown; out: string; err: string }> =>
  new Promise((resolve) =>
    execFile(
      process.execPath,
      [cli, ...args],
      { env: { ...process.env, ...env }, timeout: 60_000 },
      (error, out, err) => resolve({ code: error ? error.code : 0, out, err }),
    ),
  );

describe('while a hub has its spool open', () => {
  const out = join(folder, 'run.jsonl');

  it('export asks the hub', async () => {
    const token = hub.trainerToken;
    const trainer: Socket<HubToTrainer, TrainerToHub> = io(`${hub.url}/trainer`, {
      auth: { token, protocol: protocolVersion },
    });
    await trainer.emitWithAck('attach', attachment(runId));
    const events = [started(), ...Array.from({ length: 50 }, (_, i) => stepped(i + 2))];
    expect(await trainer.emitWithAck('events', { events })).toEqual({ ok: true, lastSeq: 51 });
    trainer.disconnect();
    const { code, err } = await plumbline('export', runId, '--out', out, '--data-dir', hub.dataDir);
    expect([code, err]).toEqual([0, '']);
    expect(readFileSync(out, 'utf8')).toContain('"seq":51,');
  });

  it.each([
    ['import', () => ['import', out, '--as', 'other']],
    ['copy', () => ['copy', '--from', 'influx', '--to', 'embedded']],
  ])('%s says which hub to stop', async (_name, args) => {
    const { code, err } = await plumbline(...args(), '--data-dir', hub.dataDir);
    expect(code).toBe(1);
    expect(err).toMatch(new RegExp(`The hub at ${hub.url} has the store in .* open. Stop it first`));
  });

  it('a second hub says where the first answers, and ends', async () => {
    const { code, err } = await plumbline('start', '--no-prepare', '--port', '0', '--data-dir', hub.dataDir);
    expect(code).toBe(1);
    // One sentence, without a log.
    expect(err).toMatch(new RegExp(`^A hub runs on [^{]* already, at ${hub.url}; [^{\\n]*\\n$`));
  });

  it('and the first continues', async () => {
    const ready = await fetch(`${hub.url}/readyz`);
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true, problems: [] }]);
  });
});

it('a hub with Redis also ends if its port is in use', async () => {
  const { port } = taken.address() as { port: number };
  const { code, err } = await plumbline(
    'start',
    '--no-prepare',
    '--port',
    String(port),
    '--data-dir',
    join(folder, 'new'),
  );
  expect(code).toBe(1);
  expect(err).toContain(`Port ${port} of 127.0.0.1 is in use.`);
});
