import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { io, type Socket } from 'socket.io-client';
import { afterEach, describe, expect, it } from 'vitest';
import type { RunResponse } from '@plumbline/shared/http';
import type { RunId } from '@plumbline/shared/run';
import { protocolVersion, type HubToTrainer, type TrainerToHub } from '@plumbline/shared/socket';
import { EmbeddedStore } from '../../server/store/embedded-store.js';
import { HubProcess } from '../support/hub-process.js';
import { aRunId, attachment, eventually, started, stepped } from '../support/test-hub.js';

const cli = fileURLToPath(new URL('../../server/dist/cli.js', import.meta.url));
const hubs: HubProcess[] = [];
const sockets: Socket[] = [];
const folders: string[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.disconnect();
  for (const hub of hubs.splice(0)) await hub.remove();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

async function startHub(): Promise<HubProcess> {
  const hub = await HubProcess.start();
  hubs.push(hub);
  return hub;
}
function connect(hub: HubProcess): Socket<HubToTrainer, TrainerToHub> {
  const token = hub.trainerToken;
  const socket = io(`${hub.url}/trainer`, {
    ...{ auth: { token, protocol: protocolVersion }, transports: ['websocket'], forceNew: true },
  });
  sockets.push(socket as unknown as Socket);
  return socket;
}
const storeOf = (hub: HubProcess) => join(hub.dataDir, 'plumbline.duckdb');
const readyOf = async (hub: HubProcess) => {
  const response = await fetch(`${hub.url}/readyz`);
  const { problems } = (await response.json()) as { problems: { message: string }[] };
  return { status: response.status, problems: problems.map(({ message }) => message) };
};
const runOf = async (hub: HubProcess, runId: RunId) =>
  ((await (await fetch(`${hub.url}/api/runs/${runId}`)).json()) as RunResponse).run;
/** The built program. */
const plumbline = (...args: string[]): Promise<{ code: unknown; output: string }> =>
  new Promise((resolve) =>
    execFile(process.execPath, [cli, ...args], { timeout: 60_000 }, (error, out, err) =>
      resolve({ code: error ? error.code : 0, output: out + err }),
    ),
  );

/** A hub with 200 events of a run, of which the last 100 are only in the log. */
async function hubWithRun(): Promise<{ hub: HubProcess; runId: RunId }> {
  const [hub, runId] = [await startHub(), aRunId()];
  for (const from of [1, 101]) {
    const trainer = connect(hub);
    await trainer.emitWithAck('attach', attachment(runId));
    const events = Array.from({ length: 100 }, (_, i) => (from + i === 1 ? started() : stepped(from + i)));
    expect(await trainer.emitWithAck('events', { events })).toEqual({ ok: true, lastSeq: from + 99 });
    trainer.disconnect();
    if (from === 1) {
      // After an orderly stop a hub leaves no log.
      await hub.stop();
      await hub.start();
    }
  }
  return { hub, runId };
}
const lossOf = (runId: RunId) =>
  `Run ${runId}: events 101 to 200 that were acknowledged are gone. The run now ends at step 100.`;

describe('a hub whose log is gone', () => {
  it.each([
    ['empty', (log: string) => truncateSync(log, 0)],
    ['missing', (log: string) => rmSync(log)],
    ['cut short', (log: string) => truncateSync(log, 40)],
  ])(
    '%s: starts, reports the loss until it is accepted, and fails the run whose trainer cannot continue',
    async (_name, damage) => {
      const { hub, runId } = await hubWithRun();
      await hub.kill();
      damage(`${storeOf(hub)}.wal`);
      await hub.start();
      expect(await readyOf(hub)).toEqual({ status: 200, problems: [lossOf(runId)] });
      expect(hub.output).toMatch(new RegExp(`"level":50.*${lossOf(runId)}`));

      const trainer = connect(hub);
      const answer = await trainer.emitWithAck('attach', { ...attachment(runId), acknowledgedSeq: 200 });
      const reason = expect.stringContaining('lost events 101 to 200') as string;
      expect(answer).toMatchObject({ ok: false, error: { code: 'conflict', message: reason } });
      expect(await runOf(hub, runId)).toMatchObject({ state: 'failed', reason, lastSeq: 100 });
      trainer.disconnect();

      await hub.stop();
      const looked = await plumbline('repair', '--data-dir', hub.dataDir);
      expect(looked).toEqual({ code: 1, output: expect.stringContaining(lossOf(runId)) as string });
      expect(looked.output).not.toContain('whole');
      const { code, output } = await plumbline('repair', '--accept-loss', '--data-dir', hub.dataDir);
      expect([code, output]).toEqual([0, expect.stringContaining(lossOf(runId))]);
      await hub.start();
      expect(await readyOf(hub)).toEqual({ status: 200, problems: [] });
      expect(hub.output).not.toContain('that were acknowledged');
    },
  );

  it('one flipped byte: following the hub’s advice saves everything', async () => {
    const { hub, runId } = await hubWithRun();
    await hub.kill();
    const log = readFileSync(`${storeOf(hub)}.wal`);
    // In the first entry, which contains the schema of the rest.
    log[30]! ^= 0x10;
    writeFileSync(`${storeOf(hub)}.wal`, log);
    await hub.start();
    const { status, problems } = await readyOf(hub);
    expect(status).toBe(503);
    const advice = /npm run plumbline -- (repair --data-dir \S+?)(?= |$)/.exec(problems.join(' '))![1]!.split(' ');
    expect((await plumbline(...advice)).output).toMatch(/The hub at .* Stop it first/);
    await hub.stop();
    expect(await plumbline(...advice)).toMatchObject({ code: 0 });
    await hub.start();
    expect(await readyOf(hub)).toEqual({ status: 200, problems: [] });
    expect((await runOf(hub, runId)).lastSeq).toBe(200);
  });
});

describe('files that are taken away under a running hub', () => {
  it.each([
    ['the main file is deleted', (path: string) => rmSync(path)],
    ['the log is deleted', (path: string) => rmSync(`${path}.wal`)],
    ['both are deleted', (path: string) => [path, `${path}.wal`].forEach((file) => rmSync(file))],
    [
      'the main file is replaced',
      (path: string) => {
        cpSync(path, `${path}.other`);
        rmSync(path);
        cpSync(`${path}.other`, path);
      },
    ],
  ])('%s: nothing more is acknowledged, and acknowledged events can be saved as advised', async (_name, damage) => {
    const { hub, runId } = await hubWithRun();
    const trainer = connect(hub);
    expect(await trainer.emitWithAck('attach', attachment(runId))).toMatchObject({ ok: true, lastSeq: 200 });
    damage(storeOf(hub));
    for (let attempt = 0; attempt < 3; attempt++)
      expect(await trainer.emitWithAck('events', { events: [stepped(201)] })).toMatchObject({
        ok: false,
        error: { code: 'store_failed', message: expect.stringMatching(/deleted|replaced/) as string },
      });
    const { status, problems } = await readyOf(hub);
    expect([status, problems.length]).toEqual([503, 1]);
    expect(problems[0]).toContain(`npm run plumbline -- backup NEW_FOLDER --data-dir ${hub.dataDir}.`);

    const saved = mkdtempSync(join(tmpdir(), 'plumbline-saved-'));
    folders.push(saved);
    expect(await plumbline('backup', join(saved, 'backup'), '--data-dir', hub.dataDir)).toMatchObject({ code: 0 });
    await hub.stop();
    const restored = join(saved, 'data');
    expect(await plumbline('restore-backup', join(saved, 'backup'), '--data-dir', restored)).toMatchObject({ code: 0 });
    const store = new EmbeddedStore(join(restored, 'plumbline.duckdb'));
    expect(await store.lastSeq(runId)).toBe(200);
    await store.close();
  });

  it('an idle hub notices too', async () => {
    const { hub } = await hubWithRun();
    rmSync(storeOf(hub));
    await eventually(() => (hub.output.includes('was deleted or moved while the hub has it open') ? true : null));
    expect((await readyOf(hub)).status).toBe(503);
  });
});

describe(`kill -9 under load`, () => {
  it('leaves no count above the stored events, and none below the acknowledged ones', async () => {
    const [hub, runId] = [await startHub(), aRunId()];
    let acknowledged = 0;
    for (let kill = 0; kill < 30; kill++) {
      const trainer = connect(hub);
      const attached = await trainer.emitWithAck('attach', { ...attachment(runId), acknowledgedSeq: acknowledged });
      if (!attached.ok) throw new Error(attached.error.message);
      let seq = attached.lastSeq;
      expect(seq).toBeGreaterThanOrEqual(acknowledged);
      const dead = new Promise<void>((resolve) =>
        setTimeout(() => void hub.kill().then(resolve), 20 + Math.random() * 300),
      );
      let alive = true;
      void dead.then(() => (alive = false));
      // Several batches at once, so that a kill hits commits at every stage.
      const sender = async () => {
        while (alive) {
          const events = Array.from({ length: 5 }, () => (seq++ === 0 ? started() : stepped(seq)));
          const answer = await trainer
            .timeout(200)
            .emitWithAck('events', { events })
            .catch(() => null);
          if (answer?.ok) acknowledged = Math.max(acknowledged, answer.lastSeq);
        }
      };
      await Promise.all([dead, sender(), sender(), sender()]);
      trainer.disconnect();
      const counted = countOf(`${storeOf(hub)}.ledger`, runId);
      expect(counted).toBeGreaterThanOrEqual(acknowledged);
      await hub.start();
      expect(await readyOf(hub)).toEqual({ status: 200, problems: [] });
      expect((await runOf(hub, runId)).lastSeq).toBeGreaterThanOrEqual(counted);
    }
    expect(acknowledged).toBeGreaterThan(100);
    expect(existsSync(`${storeOf(hub)}.ledger`)).toBe(true);
  });
});

/** The highest event number of a run in the ledger's complete lines. */
function countOf(path: string, runId: RunId): number {
  const lines = readFileSync(path, 'utf8').split('\n').slice(0, -1);
  const entries = lines.map((line) => JSON.parse(line.slice(17)) as { run?: string; lastSeq?: number });
  return Math.max(0, ...entries.filter(({ run }) => run === runId).map(({ lastSeq }) => lastSeq ?? 0));
}
