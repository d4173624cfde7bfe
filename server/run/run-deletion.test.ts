import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { GuardRule } from '@plumbline/shared/rule';
import { CheckpointId, type RunId, type RunParent } from '@plumbline/shared/run';
import { saved } from '../../test/support/ruled-runs.js';
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

let hub: TestHub;
let cookie: string;
beforeAll(async () => {
  hub = await TestHub.start({ logLevel: 'info' });
  cookie = await hub.cookie();
});
afterAll(() => hub.remove());

const remove = async (runId: string, headers: Record<string, string> = { cookie }) => {
  const answer = await hub.request('DELETE', `/runs/${runId}`, undefined, headers);
  return { status: answer.status, body: (await answer.json()) as { error?: { code: string; message: string } } };
};
const parentOf = (runId: RunId): RunParent => ({ runId, checkpointId: CheckpointId.parse('step-2'), step: 2 });
/** A run with some events, a command and rules, which has ended. */
async function ended(parent: RunParent | null = null): Promise<RunId> {
  const runId = aRunId();
  const trainer = hub.trainer();
  const rule = GuardRule.parse({
    ...{ name: 'any', metric: 'train/loss', condition: { kind: 'threshold', side: 'above', value: 100 } },
    actions: [{ kind: 'pause' }],
  });
  await trainer.emitWithAck('attach', { ...attachment(runId, { rules: [rule] }), parent });
  await trainer.emitWithAck('events', { events: [started(), stepped(2), saved(3, 2)] });
  await hub.hub.runs.command({ ...aCommand(runId, { kind: 'evaluate_now' }) } as never, 'dashboard');
  await trainer.emitWithAck('events', { events: [finished(4)] });
  await hub.until(runId, (run) => run.state === 'finished');
  trainer.disconnect();
  return runId;
}
const folderOf = (runId: RunId): string => join(hub.config.dataDir, 'runs', runId);
function withCheckpoint(runId: RunId): void {
  mkdirSync(join(folderOf(runId), 'checkpoints', 'step-2'), { recursive: true });
  writeFileSync(join(folderOf(runId), 'checkpoints', 'step-2', 'model.safetensors'), 'x'.repeat(1000));
  writeFileSync(join(folderOf(runId), 'trainer.log'), 'x'.repeat(24));
}

describe('who may delete a run', () => {
  it('a session and nobody else, from no other page', async () => {
    const runId = await ended();
    for (const headers of [{}, { authorization: `Bearer ${hub.token}` }])
      expect(await remove(runId, headers)).toMatchObject({ status: 403, body: { error: { code: 'forbidden' } } });
    expect((await remove(runId, { cookie, origin: 'http://evil.test' })).status).toBe(403);
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'finished', lastSeq: 4 });
  });
  it.each([
    ['nowhere', 404, 'not_found'],
    ['..%2Fsessions', 400, 'invalid'],
    ['UPPER', 400, 'invalid'],
  ])('%s: %i', async (runId, status, code) => {
    expect(await remove(runId)).toMatchObject({ status, body: { error: { code } } });
    expect(readdirSync(hub.config.dataDir)).toContain('sessions');
  });
});

describe('a run that has ended', () => {
  it('goes with its events, commands and checkpoints; others stay; the log says who', async () => {
    const [runId, other] = [await ended(), await ended()];
    for (const id of [runId, other]) withCheckpoint(id);
    const { createdMs } = await hub.hub.runs.get(runId);
    const dashboard = hub.dashboard();
    const told = new Promise((resolve) => dashboard.once('run_deleted', resolve));
    await dashboard.emitWithAck('watch', { runId });
    expect(await remove(runId)).toEqual({ status: 200, body: { runId, events: 4, bytes: 1024 } });
    expect(await told).toEqual({ runId, createdMs });
    for (const path of ['', '/history', '/events', '/commands', '/checkpoints', '/rules', '/findings', '/export'])
      expect((await hub.request('GET', `/runs/${runId}${path}`)).status).toBe(404);
    expect([await hub.hub.runs.store.commands(runId), existsSync(folderOf(runId))]).toEqual([[], false]);
    expect((await remove(runId)).status).toBe(404);

    expect(await hub.hub.runs.get(other)).toMatchObject({ state: 'finished', lastSeq: 4 });
    expect(await hub.hub.runs.store.commands(other)).toHaveLength(1);
    expect(existsSync(join(folderOf(other), 'checkpoints', 'step-2', 'model.safetensors'))).toBe(true);
    const line = hub.logged.find(({ msg, runId: of }) => msg === 'run deleted' && of === runId);
    expect(line?.['by']).toMatch(/^session [0-9a-f]{8} from .*127\.0\.0\.1$/);
    expect(cookie).not.toContain(/session (\w+)/.exec(String(line!['by']))![1]);
    await hub.restart();
    expect((await hub.hub.runs.list()).map((run) => run.runId)).not.toContain(runId);
  });

  it('keeps files that its folder only links to', async () => {
    const [runId, other] = [await ended(), await ended()];
    withCheckpoint(other);
    mkdirSync(folderOf(runId), { recursive: true });
    symlinkSync(folderOf(other), join(folderOf(runId), 'checkpoints'));
    expect((await remove(runId)).status).toBe(200);
    expect(existsSync(folderOf(runId))).toBe(false);
    expect(readdirSync(folderOf(other)).sort()).toEqual(['checkpoints', 'trainer.log']);
  });

  it('that was deleted just before a crash has no folder once the hub is back', async () => {
    const runId = await ended();
    withCheckpoint(runId);
    // As far as it came: the store is without it.
    await hub.hub.runs.store.deleteRun(runId);
    await hub.restart();
    expect((await hub.request('GET', `/runs/${runId}`)).status).toBe(404);
    expect(existsSync(folderOf(runId))).toBe(false);
  });
});

describe('a run stays', () => {
  it.each(['running', 'paused'] as const)('while it is %s', async (state) => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    await trainer.emitWithAck('events', { events: [started()] });
    if (state === 'paused')
      await trainer.emitWithAck('events', {
        events: [{ type: 'run_paused', seq: 2, step: 0, wallTimeMs: 1_700_000_000_001, reason: '' }],
      });
    const message = `The run ${runId} has not ended (${state}). Stop it first, then delete it.`;
    expect(await remove(runId)).toEqual({ status: 409, body: { error: { code: 'conflict', message, retry: false } } });
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state });
  });

  it('while a branch goes on from it; once that is gone it goes too', async () => {
    const parent = await ended();
    const branch = await ended(parentOf(parent));
    expect(await remove(parent)).toMatchObject({
      status: 409,
      body: { error: { message: expect.stringContaining(`has a branch that goes on from it: ${branch}.`) } },
    });
    expect((await remove(branch)).status).toBe(200);
    expect((await remove(parent)).status).toBe(200);
  });

  it('while its trainer has not left, and goes when it has', async () => {
    const runId = await ended();
    const { livingProcesses } = hub.hub.runs;
    livingProcesses.add(runId);
    const answer = remove(runId);
    expect(await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 300, 'waits'))])).toBe('waits');
    livingProcesses.delete(runId);
    expect((await answer).status).toBe(200);
  });

  it('deleted by two at once, it is deleted once', async () => {
    const runId = await ended();
    const statuses = (await Promise.all([remove(runId), remove(runId)])).map(({ status }) => status);
    expect(statuses.sort()).toEqual([200, 404]);
  });
});

describe('a trainer that comes with the id of a deleted run', () => {
  it('with acknowledged events hears that it was deleted, and leaves nothing', async () => {
    const runId = await ended();
    await remove(runId);
    const trainer = hub.trainer();
    const answer = await trainer.emitWithAck('attach', { ...attachment(runId), acknowledgedSeq: 3 });
    expect(answer).toEqual({
      ok: false,
      error: {
        code: 'conflict',
        message: `The run ${runId} was deleted, with the 3 events that it had. Start a new run.`,
        retry: false,
      },
    });
    expect((await hub.request('GET', `/runs/${runId}`)).status).toBe(404);
  });

  it('without acknowledged events begins a new run, which has nothing of the first', async () => {
    const runId = await ended();
    await remove(runId);
    const trainer = await hub.attached(runId);
    // The second half of the first run is no beginning.
    expect(await trainer.emitWithAck('events', { events: [stepped(3)] })).toMatchObject({ ok: false, lastSeq: 0 });
    expect(await trainer.emitWithAck('events', { events: [started()] })).toEqual({ ok: true, lastSeq: 1 });
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'running', lastSeq: 1, lastStep: 0 });
    expect(await hub.hub.runs.store.commands(runId)).toEqual([]);
  });

  it('and was lost, and the run deleted meanwhile, ends', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    await trainer.emitWithAck('events', { events: [started()] });
    await hub.hub.runs.trainerLost(runId, 'The trainer was lost.');
    expect((await remove(runId)).status).toBe(200);
    // Its connection still stands.
    expect(await trainer.emitWithAck('events', { events: [stepped(2)] })).toMatchObject({
      ok: false,
      error: { code: 'not_found' },
    });
    const again = await trainer.emitWithAck('attach', { ...attachment(runId), acknowledgedSeq: 1 });
    expect(again).toMatchObject({ ok: false, error: { message: expect.stringContaining('was deleted') } });
    // And goes on with a run of its own.
    const other = aRunId();
    expect(await trainer.emitWithAck('attach', attachment(other))).toEqual({
      ok: true,
      lastSeq: 0,
      nextSeries: 0,
    });
    await eventually(async () => ((await hub.hub.runs.get(other)).trainerConnected ? true : null));
  });
});

describe('ids of deleted runs', () => {
  it('are not kept in memory: not of deleted runs, of refused ones, nor after a restart', async () => {
    const before = hub.hub.runs.keptIds;
    for (let i = 0; i < 3; i++) {
      const runId = await ended();
      expect((await remove(runId)).status).toBe(200);
      expect((await hub.request('GET', `/runs/${runId}`)).status).toBe(404);
      // Its trainer, which does not know yet.
      const late = await hub.trainer().emitWithAck('attach', { ...attachment(runId), acknowledgedSeq: 4 });
      expect(late).toMatchObject({ ok: false });
      const branch = { ...attachment(aRunId()), parent: parentOf(runId) };
      expect(await hub.trainer().emitWithAck('attach', branch)).toMatchObject({ ok: false });
    }
    expect(hub.hub.runs.keptIds).toBe(before);
    await hub.restart();
    expect(hub.hub.runs.keptIds).toBe(hub.hub.runs.known.length);
  });
});
