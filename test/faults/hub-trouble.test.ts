import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { io, type Socket } from 'socket.io-client';
import { afterEach, describe, expect, it } from 'vitest';
import type { HistoryResponse, RunResponse } from '@plumbline/shared/http';
import { protocolVersion, type HubToTrainer, type TrainerToHub } from '@plumbline/shared/socket';
import { freePort } from '../support/hub-process.js';
import { aRunId, attachment, eventually, started, stepped } from '../support/test-hub.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const children: ChildProcess[] = [];
const sockets: Socket[] = [];
const folders: string[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.disconnect();
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

const newFolder = () => {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-trouble-'));
  folders.push(folder);
  return folder;
};
/** Starts the hub from a shell with limits; resolves when it has printed its link. */
async function startHub(dataDir: string, port: number, limits = ''): Promise<ChildProcess> {
  const start = `exec "${process.execPath}" server/dist/cli.js start --no-prepare --port ${port} --data-dir "${dataDir}"`;
  const child = spawn('sh', ['-c', `${limits} ${start}`], { cwd: root, stdio: ['ignore', 'pipe', 'ignore'] });
  children.push(child);
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  await eventually(() => (output.includes('?token=') ? true : null));
  return child;
}
function connect(dataDir: string, port: number): Socket<HubToTrainer, TrainerToHub> {
  const token = readFileSync(join(dataDir, 'trainer-token'), 'utf8');
  const auth = { token, protocol: protocolVersion };
  const socket = io(`http://127.0.0.1:${port}/trainer`, { auth, transports: ['websocket'], forceNew: true });
  sockets.push(socket as unknown as Socket);
  return socket;
}

describe('a full disk', () => {
  it('is reported, only stored events are acknowledged, and the same events are accepted once there is room', async () => {
    const [dataDir, port, runId] = [newFolder(), await freePort(), aRunId()];
    // A limit on file size (2 MB) fails writes like a full disk, which a test cannot make. The hub reports it
    // differently.
    const first = await startHub(dataDir, port, "trap '' XFSZ; ulimit -f 4000;");
    const trainer = connect(dataDir, port);
    await trainer.emitWithAck('attach', attachment(runId));
    let acknowledged = 0;
    let seq = 0;
    const names = Array.from({ length: 500 }, (_, i) => `drift/g${i}`);
    const step = (at: number) => stepped(at, Object.fromEntries(names.map((name) => [name, Math.random()])), names);
    let refused = null;
    while (refused === null && seq < 2000) {
      const events = Array.from({ length: 10 }, () => (seq++ === 0 ? started(1, names) : step(seq)));
      const answer = await trainer.emitWithAck('events', { events });
      if (answer.ok) acknowledged = answer.lastSeq;
      else refused = answer.error;
    }
    expect(refused).toMatchObject({
      code: 'store_failed',
      message: expect.stringMatching(/limit on the size of files.*ulimit -f.*Raise the limit/),
    });
    const run = (await (await fetch(`http://127.0.0.1:${port}/api/runs/${runId}`)).json()) as RunResponse;
    expect(run.run.lastSeq).toBe(acknowledged);
    trainer.disconnect();
    first.kill('SIGKILL');
    await once(first, 'exit');

    await startHub(dataDir, port);
    const again = connect(dataDir, port);
    expect(await again.emitWithAck('attach', attachment(runId))).toMatchObject({
      ok: true,
      lastSeq: acknowledged,
    });
    const rest = Array.from({ length: seq - acknowledged }, (_, i) => step(acknowledged + 1 + i));
    expect(await again.emitWithAck('events', { events: rest })).toEqual({ ok: true, lastSeq: seq });
    const path = `/api/runs/${runId}/history?metric=drift/g0&maxPoints=100000`;
    const { series } = (await (await fetch(`http://127.0.0.1:${port}${path}`)).json()) as HistoryResponse;
    expect(series['drift/g0']!.seqs).toEqual(Array.from({ length: seq - 1 }, (_, i) => i + 2));
  });
});

describe('kill -9 of the hub under load', () => {
  it('loses no acknowledged event and stores none twice', async () => {
    const [dataDir, port, runId] = [newFolder(), await freePort(), aRunId()];
    let acknowledged = 0;
    for (let life = 0; life < 4; life++) {
      const hub = await startHub(dataDir, port);
      const trainer = connect(dataDir, port);
      const attached = await trainer.emitWithAck('attach', attachment(runId));
      if (!attached.ok) throw new Error(attached.error.message);
      expect(attached.lastSeq).toBeGreaterThanOrEqual(acknowledged);
      let seq = attached.lastSeq;
      const killAt = performance.now() + 200 + Math.random() * 600;
      let alive = true;
      while (alive) {
        if (performance.now() > killAt) {
          alive = false;
          hub.kill('SIGKILL');
        }
        const events = Array.from({ length: 20 }, () => (seq++ === 0 ? started() : stepped(seq)));
        const answer = await trainer
          .timeout(300)
          .emitWithAck('events', { events })
          .catch(() => null);
        if (answer?.ok) acknowledged = answer.lastSeq;
      }
      if (hub.exitCode === null && hub.signalCode === null) await once(hub, 'exit');
      trainer.disconnect();
    }
    expect(acknowledged).toBeGreaterThan(0);
    await startHub(dataDir, port);
    const path = `/api/runs/${runId}/history?metric=train/loss&maxPoints=100000`;
    const { series, lastSeq } = (await (await fetch(`http://127.0.0.1:${port}${path}`)).json()) as HistoryResponse;
    expect(lastSeq).toBeGreaterThanOrEqual(acknowledged);
    expect(series['train/loss']!.seqs).toEqual(Array.from({ length: lastSeq - 1 }, (_, i) => i + 2));
  });
});

describe('the command line', () => {
  const run = async (...args: string[]) => {
    const child = spawn(process.execPath, ['server/dist/cli.js', ...args], { cwd: root });
    children.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const [code] = (await once(child, 'exit')) as [number];
    return { code, output };
  };

  it('says that a port is in use and how to choose another', async () => {
    const [dataDir, port] = [newFolder(), await freePort()];
    await startHub(dataDir, port);
    const second = await run('start', '--no-prepare', '--port', String(port), '--data-dir', newFolder());
    expect(second.code).toBe(1);
    expect(second.output).toBe(
      `Port ${port} of 127.0.0.1 is in use. Stop what uses it, or choose another: npm start -- --port ${port + 1}\n`,
    );
  });

  it('says that a second hub cannot use the same data', async () => {
    const dataDir = newFolder();
    await startHub(dataDir, await freePort());
    const path = join(dataDir, 'hub.json');
    const address = readFileSync(path, 'utf8');
    const second = await run('start', '--no-prepare', '--port', String(await freePort()), '--data-dir', dataDir);
    expect(second.code).toBe(1);
    expect(second.output).toMatch(/^A hub runs on .* already, at http:.*choose another --data-dir\.\n$/);
    expect(readFileSync(path, 'utf8')).toBe(address);
  });

  it('prints a link that opens a session of the running hub, and says so when none runs', async () => {
    const [dataDir, port] = [newFolder(), await freePort()];
    const none = await run('link', '--data-dir', dataDir);
    expect([none.code, none.output]).toEqual([1, expect.stringContaining('No hub runs')]);
    await startHub(dataDir, port);
    const { output } = await run('link', '--data-dir', dataDir);
    const link = new URL(output.trim());
    expect(link.origin).toBe(`http://127.0.0.1:${port}`);
    const answer = await fetch(`${link.origin}/api/session`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ token: link.searchParams.get('token') }),
    });
    expect(await answer.json()).toEqual({ mayControl: true, mayWatch: true });
  });

  it('starts the hub on a damaged store, and says what to do', async () => {
    const dataDir = newFolder();
    writeFileSync(join(dataDir, 'plumbline.duckdb'), 'x'.repeat(5000));
    const port = await freePort();
    await startHub(dataDir, port);
    const health = await fetch(`http://127.0.0.1:${port}/readyz`);
    expect([health.status, await health.text()]).toEqual([
      503,
      expect.stringMatching(/is damaged. Leave its files where they are.*plumbline -- repair/),
    ]);
  });
});
