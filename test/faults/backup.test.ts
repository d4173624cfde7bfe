import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CheckpointId, RunId, RunSummary } from '@plumbline/shared/run';
import { EmbeddedStore } from '../../server/store/embedded-store.js';
import { stepEvent, storedRun } from '../contract/stored-samples.js';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';
import { holes } from '../support/ledger.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'plumbline-backup-'));
async function plumbline(...args: string[]): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, ['server/dist/cli.js', ...args], { cwd: root });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'exit')) as [number];
  return { code, output };
}

/** Everything that a dashboard can see of a run. */
async function seen(client: HubClient, runId: RunId) {
  const [{ revision: _ofThatHub, ...run }, history, control, commands] = await Promise.all([
    client.run(runId),
    client.history(runId),
    client.controlEvents(runId),
    client.commands(runId),
  ]);
  return { run, history, control, commands };
}

describe('backup and restore of a hub with real runs', () => {
  let hub: HubProcess;
  let client: HubClient;
  let finished: RunId;
  let going: RunId;
  const running = join(folder, 'running');
  const stopped = join(folder, 'stopped');

  beforeAll(async () => {
    hub = await HubProcess.start();
    client = await HubClient.open(hub);
    const config = { batchSize: 4, warmupSteps: 0, probeEverySteps: 10, checkpointEverySteps: 5 };
    finished = await client.startRun({ ...config, steps: 12 });
    await client.commandEnd(finished, { kind: 'set_learning_rate', learningRate: 1e-4 });
    await client.commandEnd(finished, { kind: 'save_checkpoint' });
    await client.state(finished, 'finished');
    going = await client.startRun({ ...config, steps: 100_000 });
    await client.step(going, 5);
  });
  afterAll(async () => {
    client?.close();
    await hub?.remove();
    rmSync(folder, { recursive: true });
  });

  const restore = async (from: string): Promise<HubProcess> => {
    const dataDir = join(folder, `restored-${readdirSync(folder).length}`);
    const { code, output } = await plumbline('restore-backup', from, '--data-dir', dataDir);
    expect([code, output]).toEqual([0, expect.stringContaining(`--data-dir ${dataDir}`)]);
    return HubProcess.start({ dataDir });
  };

  it('while the hub runs: the copy is consistent, and training continues', async () => {
    const before = await seen(client, finished);
    const early = await client.run(going);
    const { code, output } = await plumbline('backup', running, '--data-dir', hub.dataDir);
    expect([code, output]).toEqual([0, expect.stringContaining('MB')]);
    await client.step(going, (await client.run(going)).lastStep + 2);

    const restored = await restore(running);
    const other = await HubClient.open(restored);
    expect(await seen(other, finished)).toEqual(before);
    const { run, history, control, commands } = await seen(other, going);
    expect(run.lastSeq).toBeGreaterThanOrEqual(early.lastSeq);
    expect(holes(history, control)).toEqual([]);
    expect(commands).toEqual([]);
    // A restored checkpoint can be started from.
    const checkpointId = before.control.events.findLast((event) => event.type === 'checkpoint_saved')!.checkpointId;
    const branch = await startFrom(restored, other.cookie, finished, checkpointId);
    await other.step(branch, before.run.lastStep);
    other.close();
    await restored.remove();
  });

  it('while the hub is stopped', async () => {
    await hub.stop();
    const { code, output } = await plumbline('backup', stopped, '--data-dir', hub.dataDir);
    expect([code, output]).toEqual([0, expect.stringContaining('MB')]);
    await hub.start();
    const expected = [await seen(client, finished), await seen(client, going)];
    const restored = await restore(stopped);
    const other = await HubClient.open(restored);
    expect([await seen(other, finished), await seen(other, going)]).toEqual(expected);
    other.close();
    await restored.remove();
    expect(existsSync(join(stopped, 'trainer-token'))).toBe(false);
  });

  it('a restored run belongs to no trainer: the backup contains no secret', async () => {
    const data = join(folder, 'with-secret');
    const digest = 'a'.repeat(64);
    const store = new EmbeddedStore(join(data, 'plumbline.duckdb'));
    const run = { ...storedRun(), trainerSecretDigest: digest };
    await store.createRun(run);
    await store.append(run.runId, [stepEvent(1, { 'a/b': 1 })]);
    await store.close();
    mkdirSync(join(data, 'runs', run.runId), { recursive: true });
    writeFileSync(join(data, 'runs', run.runId, 'trainer-secret'), 'the secret of its trainer');
    const [backup, restored] = [join(folder, 'without-secret'), join(folder, 'released')];
    expect((await plumbline('backup', backup, '--data-dir', data)).code).toBe(0);
    expect((await plumbline('restore-backup', backup, '--data-dir', restored)).code).toBe(0);
    for (const place of [backup, restored])
      expect(existsSync(join(place, 'runs', run.runId, 'trainer-secret'))).toBe(false);
    const copy = new EmbeddedStore(join(restored, 'plumbline.duckdb'));
    expect(await copy.run(run.runId)).toEqual({ ...storedRun(), lastSeq: 1, lastStep: 1 });
    await copy.close();
  });

  it('the hub gives a copy only to authorised clients', async () => {
    const ask = (headers: Record<string, string>) => fetch(`${hub.url}/api/backup`, { method: 'POST', headers });
    expect((await ask({})).status).toBe(403);
    expect((await ask({ authorization: 'Bearer wrong' })).status).toBe(401);
    const given = await ask({ cookie: client.cookie });
    expect([given.status, (await given.arrayBuffer()).byteLength > 10_000]).toEqual([200, true]);
    await client.until('the copy to be removed', async () =>
      readdirSync(hub.dataDir).some((name) => name.startsWith('backup')) ? undefined : true,
    );
  });

  it('nothing is overwritten, and a damaged or incomplete backup is not restored', async () => {
    const refused = async (words: string, ...args: string[]) => {
      const { code, output } = await plumbline(...args);
      expect([code, output]).toEqual([1, expect.stringContaining(words)]);
    };
    await refused('is not empty', 'backup', running, '--data-dir', hub.dataDir);
    await refused('is not empty', 'restore-backup', stopped, '--data-dir', hub.dataDir);
    await refused('There is no store', 'backup', join(folder, 'x'), '--data-dir', join(folder, 'nowhere'));
    await refused('inside the data folder', 'backup', join(hub.dataDir, 'b'), '--data-dir', hub.dataDir);
    const target = join(folder, 'target');
    await refused('no complete backup', 'restore-backup', join(stopped, 'runs'), '--data-dir', target);
    appendFileSync(join(stopped, 'plumbline.duckdb'), 'x');
    await refused('changed since the backup', 'restore-backup', stopped, '--data-dir', target);
    rmSync(join(running, 'plumbline.duckdb'));
    await refused('is missing', 'restore-backup', running, '--data-dir', target);
    writeFileSync(join(running, 'backup.json'), '{');
    await refused('backup.json', 'restore-backup', running, '--data-dir', target);
    expect(existsSync(target)).toBe(false);
  });
});

async function startFrom(hub: HubProcess, cookie: string, runId: RunId, checkpointId: CheckpointId): Promise<RunId> {
  const config = { name: 'from a backup', batchSize: 4, warmupSteps: 0, steps: 14 };
  const response = await fetch(`${hub.url}/api/runs`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', cookie, origin: hub.url },
    body: JSON.stringify({ config, from: { runId, checkpointId } }),
  });
  return ((await response.json()) as { run: RunSummary }).run.runId;
}
