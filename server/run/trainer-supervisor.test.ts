import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { CheckpointId, type RunId, type RunSummary } from '@plumbline/shared/run';
import { freePort } from '../../test/support/hub-process.js';
import { aCommand, aRunId, eventually, finished, started, stepped, TestHub } from '../../test/support/test-hub.js';

/**
 * A trainer in a few lines that does what its run's name says; it speaks the real protocol from a real process.
 * Training itself is tested with the real trainer.
 */
const program = `
import { io } from ${JSON.stringify(import.meta.resolve('socket.io-client'))};
import { hostname } from 'node:os';
import { describeRun } from ${JSON.stringify(import.meta.resolve('@plumbline/shared/built-in/described-run'))};
let text = '';
for await (const chunk of process.stdin) text += chunk;
const launch = JSON.parse(text);
const does = launch.config.name;
if (does === 'crash early') { console.error('no model here'); process.exit(3); }
const socket = io(launch.hubUrl + '/trainer', { auth: { token: launch.token, protocol: 2 },
  reconnectionDelayMax: 200, transports: ['websocket'] });
let seq = 0;
const at = () => ({ seq: ++seq, step: 0, wallTimeMs: Date.now() });
const send = (...events) => socket.emitWithAck('events', { events });
const trainer = { backend: 'test', device: '', host: hostname(), processId: process.pid, version: '1' };
const begin = () => send({ ...at(), type: 'run_started', trainer, model: { name: 'm', groups: [], parameters: [], recipes: [] }, baseline: {},
  selection: { kind: 'recipe', recipe: 'full' }, trainable: [] });
const end = async (reason) => { await send({ ...at(), type: 'run_stopped', reason }); process.exit(0); };
process.on('SIGTERM', () => end('Stopped with the hub.'));
let runId = launch.runId, parent = launch.parent;
const attach = () => socket.emitWithAck('attach', { runId, run: describeRun(launch.config), parent, secret: launch.secret });
socket.once('connect', async () => {
  await attach();
  socket.on('connect', attach);
  await begin();
  if (does === 'finish') { await send({ ...at(), type: 'run_finished' }); process.exit(0); }
  await send({ ...at(), type: 'checkpoint_saved', checkpointId: 'step-0', bytes: 1, digest: 'd' });
  if (does === 'crash late') { console.error('line one'); throw new Error('the loss fell off'); }
});
socket.on('command', async ({ commandId, action }, ack) => {
  ack({ ok: true });
  if (action.kind !== 'restore_checkpoint') return;
  await send({ ...at(), type: 'command_applied', commandId, before: {}, after: { branchRunId: action.branchRunId } },
    { ...at(), type: 'run_stopped', reason: 'continued as a branch' });
  parent = { runId, checkpointId: action.checkpointId, step: 0 };
  runId = action.branchRunId;
  seq = 0;
  await attach();
  await begin();
});
`;
const folder = mkdtempSync(join(tmpdir(), 'plumbline-trainer-'));
const trainerEntry = join(folder, 'trainer.mjs');
let hub: TestHub;
beforeAll(async () => {
  writeFileSync(trainerEntry, program);
  hub = await TestHub.start({ trainerEntry, maxTrainers: 2, trainerGraceMs: 5000 });
});
afterAll(async () => {
  await hub.remove();
  rmSync(folder, { recursive: true });
});

const start = (name: string, from?: { runId: RunId; checkpointId: CheckpointId }): Promise<RunSummary> =>
  hub.hub.supervisor.start({ config: RunConfig.parse({ name }), from });
const running = async (name: string) => {
  const { runId } = await start(name);
  await hub.until(runId, (run) => run.state === 'running' && run.lastSeq >= 2);
  return runId;
};
const alive = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
const pidOf = async (runId: RunId) => (await hub.hub.runs.get(runId)).trainer!.processId;

describe('a built-in trainer', () => {
  it('that ends its run and exits leaves the run as it ended', async () => {
    const { runId } = await start('finish');
    const run = await hub.until(runId, (now) => now.state !== 'created' && now.state !== 'running');
    expect(run).toMatchObject({ state: 'finished', reason: '' });
    await eventually(() => (hub.hub.runs.livingProcesses.has(runId) ? null : true));
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'finished' });
  });

  it('that dies before it connects fails its run with its exit code and last log lines', async () => {
    const { runId } = await start('crash early');
    const { reason } = await hub.until(runId, (run) => run.state === 'failed');
    expect(reason).toMatch(/exited with code 3[\s\S]*no model here/);
  });

  it('that throws fails its run with the error', async () => {
    const { runId } = await start('crash late');
    const { reason } = await hub.until(runId, (run) => run.state === 'failed');
    expect(reason).toMatch(/exited with code 1[\s\S]*the loss fell off/);
  });

  it('that is killed fails its run with the signal, and its open commands with it', async () => {
    const runId = await running('wait');
    const record = await hub.hub.runs.command(aCommand(runId, { kind: 'pause' }), 'test');
    process.kill(await pidOf(runId), 'SIGKILL');
    const { reason } = await hub.until(runId, (run) => run.state === 'failed');
    expect(reason).toContain('was ended by SIGKILL');
    expect(await eventually(async () => ((await hub.record(record.commandId)).state === 'failed' ? true : null))).toBe(
      true,
    );
  });

  it('goes on as a branch, and dies as that branch', async () => {
    const runId = await running('wait');
    const action = { kind: 'restore_checkpoint', checkpointId: CheckpointId.parse('step-0') } as const;
    const record = await hub.hub.runs.command(aCommand(runId, action), 'test');
    if (record.action.kind !== 'restore_checkpoint') throw new Error('wrong kind');
    const branch = record.action.branchRunId!;
    await hub.until(runId, (run) => run.state === 'stopped');
    await eventually(
      async () => (await hub.hub.runs.list()).find((run) => run.runId === branch && run.state === 'running') ?? null,
    );
    expect(await hub.hub.runs.get(branch)).toMatchObject({ parent: { runId, checkpointId: 'step-0', step: 0 } });
    expect(await hub.record(record.commandId)).toMatchObject({ state: 'applied' });
    process.kill(await pidOf(branch), 'SIGKILL');
    const { reason } = await hub.until(branch, (run) => run.state === 'failed');
    expect(reason).toContain('SIGKILL');
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'stopped' });
  });

  it('is refused above the number allowed', async () => {
    const runs = [await running('wait'), await running('wait')];
    await expect(start('wait')).rejects.toMatchObject({ code: 'conflict' });
    for (const runId of runs) process.kill(await pidOf(runId), 'SIGKILL');
    for (const runId of runs) await hub.until(runId, (run) => run.state === 'failed');
  });

  it('is refused above the number allowed when many start at once', async () => {
    const answers = await Promise.allSettled([start('wait'), start('wait'), start('wait')]);
    const started = answers.flatMap((answer) => (answer.status === 'fulfilled' ? [answer.value.runId] : []));
    expect(started).toHaveLength(2);
    for (const runId of started) {
      await hub.until(runId, (run) => run.state === 'running');
      process.kill(await pidOf(runId), 'SIGKILL');
      await hub.until(runId, (run) => run.state === 'failed');
    }
  });

  it('that cannot be started fails its run and says why', async () => {
    // A file where the runs' folders have to be.
    const other = await TestHub.start({ trainerEntry });
    writeFileSync(join(other.config.dataDir, 'runs'), '');
    await expect(other.hub.supervisor.start({ config: RunConfig.parse({ name: 'wait' }) })).rejects.toThrow(
      /could not be started: .*runs/,
    );
    expect((await other.hub.runs.list())[0]).toMatchObject({
      state: 'failed',
      reason: expect.stringContaining('runs'),
    });
    await other.remove();
  });

  it('starts from a checkpoint of an ended run that is on this machine', async () => {
    const checkpointId = CheckpointId.parse('step-2');
    const runId = aRunId();
    const remote = await hub.attached(runId);
    const saved = {
      type: 'checkpoint_saved',
      seq: 3,
      step: 2,
      wallTimeMs: 1_700_000_000_001,
      checkpointId,
      bytes: 1,
      digest: 'd',
    } as const;
    await remote.emitWithAck('events', { events: [started(), stepped(2), saved, finished(4)] });
    await expect(start('finish', { runId, checkpointId })).rejects.toThrow(/is not on this machine/);
    await expect(start('finish', { runId, checkpointId: CheckpointId.parse('step-9') })).rejects.toThrow(
      /no checkpoint/,
    );
    const checkpoints = () => hub.get<unknown>(`/runs/${runId}/checkpoints`);
    expect(await checkpoints()).toEqual({ checkpoints: [{ checkpointId, step: 2, isHere: false }] });
    mkdirSync(join(hub.config.dataDir, 'runs', runId, 'checkpoints', checkpointId), { recursive: true });
    expect(await checkpoints()).toEqual({ checkpoints: [{ checkpointId, step: 2, isHere: true }] });
    const short = RunConfig.parse({ name: 'finish', steps: 2 });
    await expect(hub.hub.supervisor.start({ config: short, from: { runId, checkpointId } })).rejects.toThrow(
      /leave nothing to train/,
    );
    const adapted = RunConfig.parse({ name: 'finish', method: { kind: 'lora' } });
    await expect(hub.hub.supervisor.start({ config: adapted, from: { runId, checkpointId } })).rejects.toThrow(
      /is of a model without additions; this run trains a model with LoRA adapters/,
    );
    const branch = await start('finish', { runId, checkpointId });
    expect(branch.parent).toEqual({ runId, checkpointId, step: 2 });
    await hub.until(branch.runId, (run) => run.state === 'finished');
  });

  it('that an earlier hub started is adopted when it connects, and its death is noticed', async () => {
    const second = await TestHub.start({ trainerEntry, port: await freePort(), trainerGraceMs: 60_000 });
    const runId = aRunId();
    const runFolder = join(second.config.dataDir, 'runs', runId);
    mkdirSync(runFolder, { recursive: true });
    // As a hub that was killed leaves it: the process lives, its number is in the file, nobody watches it.
    const orphan = spawn(process.execPath, [trainerEntry], { stdio: ['pipe', 'ignore', 'ignore'] });
    writeFileSync(join(runFolder, 'trainer.pid'), String(orphan.pid));
    const launch = {
      hubUrl: second.url,
      token: second.token,
      runId,
      config: RunConfig.parse({ name: 'wait' }),
      parent: null,
    };
    orphan.stdin.end(JSON.stringify(launch));
    await eventually(async () => (await second.hub.runs.list()).find((run) => run.lastSeq >= 2) ?? null);
    await second.restart();
    await second.until(runId, (run) => run.trainerConnected);
    expect(second.hub.runs.livingProcesses.has(runId)).toBe(true);
    orphan.kill('SIGKILL');
    const { reason } = await second.until(runId, (run) => run.state === 'failed');
    expect(reason).toContain('The trainer exited.');
    await second.remove();
  });

  it('stops with the hub: it says its last word, and that is stored', async () => {
    const runId = await running('wait');
    const pid = await pidOf(runId);
    await hub.restart();
    expect(alive(pid)).toBe(false);
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'stopped', reason: 'Stopped with the hub.' });
    expect(existsSync(join(hub.config.dataDir, 'runs', runId, 'trainer.log'))).toBe(true);
  });
});
