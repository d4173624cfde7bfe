import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunId, type RunSummary } from '@plumbline/shared/run';
import { FaultyProxy } from '../support/faulty-proxy.js';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';
import { pythonWith } from '../support/python-with.js';
import { tryTrainer } from './play.js';
import { PlayedTrainer } from './played-trainer.js';

const example = /```python\n([\s\S]*?)```/.exec(readFileSync('PROTOCOL.md', 'utf8'))![1]!;
const ownId = 'f"py-{secrets.token_hex(4)}"';
const python = pythonWith(['socketio'], 'The example of PROTOCOL.md is');

it('the example of PROTOCOL.md stays short', () => {
  expect(example.split('\n').filter((line) => line !== '').length).toBeLessThanOrEqual(70);
});

describe.skipIf(!python)('the example of PROTOCOL.md', () => {
  let hub: HubProcess;
  let client: HubClient;
  let folder: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'plumbline-example-'));
    writeFileSync(join(folder, 'example.py'), example);
    // The hub tells its clients to wait this long for a ping.
    hub = await HubProcess.start({ env: { PLUMBLINE_TRAINER_SILENCE_MS: '3600000' } });
    client = await HubClient.open(hub);
  });
  afterAll(async () => {
    client.close();
    await hub.remove();
    rmSync(folder, { recursive: true });
  });

  interface Ended {
    code: number | null;
    wrote: string;
  }
  /** Runs the example under its own run id. @returns a promise of its end */
  const run = (runId: string, { steps = 100, url = hub.url, token = hub.trainerToken } = {}): Promise<Ended> => {
    const program = example.replace(ownId, JSON.stringify(runId));
    expect(program).not.toBe(example);
    const env = { ...process.env, PLUMBLINE_HUB: url, PLUMBLINE_TOKEN: token };
    const child = spawn(python!, ['-c', program, String(steps)], { env, stdio: ['ignore', 'inherit', 'pipe'] });
    let wrote = '';
    child.stderr.on('data', (chunk: Buffer) => (wrote += chunk.toString()));
    return new Promise((resolve) => child.once('close', (code) => resolve({ code, wrote })));
  };
  const found = (runId: string): Promise<RunSummary> => client.run(RunId.parse(runId));

  it('runs to its end', async () => {
    expect(await run('to-its-end')).toEqual({ code: 0, wrote: '' });
    expect(await found('to-its-end')).toMatchObject({ state: 'finished', lastStep: 100, lastSeq: 102 });
  });

  it('ends with what the hub says of a wrong token', async () => {
    const { code, wrote } = await run('no-token', { token: 'x'.repeat(43) });
    expect(wrote).toMatch(/^The hub refuses this trainer: unauthorized: The trainer token is wrong/);
    expect(code).toBe(1);
  });

  it("ends with what the hub says of another trainer's run", async () => {
    const other = new PlayedTrainer({ url: hub.url, token: hub.trainerToken });
    await other.attached({ run: { name: 'From Python' } });
    const { code, wrote } = await run(other.runId);
    other.close();
    expect(wrote).toMatch(/^The hub refuses this trainer: forbidden: /);
    expect(code).toBe(1);
  });

  it('leaves a line that has gone silent', async () => {
    const proxy = await FaultyProxy.start(Number(new URL(hub.url).port));
    const ended = run('silent-line', { steps: 400, url: proxy.url });
    await client.until(
      'the run',
      async () => ((await found('silent-line').catch(() => null))?.lastStep ?? 0) > 5 || undefined,
    );
    proxy.become({ kind: 'half-open' });
    proxy.become({ kind: 'healthy' });
    expect(await ended).toEqual({ code: 0, wrote: '' });
    expect(await found('silent-line')).toMatchObject({ state: 'finished', lastStep: 400, lastSeq: 402 });
    await proxy.close();
  });

  it('passes every conformance case', async () => {
    const outcomes = await tryTrainer(`exec ${python} ${join(folder, 'example.py')} 100000`);
    expect(outcomes.filter(({ state }) => state !== 'passed')).toEqual([]);
  });
});
