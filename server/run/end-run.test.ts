import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Command, CommandId } from '@plumbline/shared/command';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import {
  aCommand,
  aRunId,
  attachment,
  eventually,
  started,
  stepped,
  TestHub,
  testTimeMs,
  type TrainerEnd,
} from '../../test/support/test-hub.js';
import { EmbeddedStore } from '../store/embedded-store.js';
import { StoreUnavailableError } from '../store/event-store.js';
import { RunRegistry } from './registry.js';

let hub: TestHub;
let cookie: string;
beforeAll(async () => {
  hub = await TestHub.start({ trainerGraceMs: 60_000, commandExpiryMs: 300 });
  cookie = await hub.cookie();
});
afterAll(() => hub.remove());

/** A run whose trainer sends nothing more and confirms no command. */
async function hung(): Promise<{ runId: RunId; trainer: TrainerEnd }> {
  const runId = aRunId();
  const trainer = await hub.attached(runId);
  await trainer.emitWithAck('events', { events: [started(), stepped(2)] });
  return { runId, trainer };
}
async function give(runId: RunId, kind: 'stop' | 'end_run' | 'pause', as: string | undefined = cookie) {
  const answer = await hub.dashboard(as).emitWithAck('command', aCommand(runId, { kind }));
  return answer.ok ? answer.record : answer.error;
}
/** Stops it, and waits until that is overdue. */
async function stopped(runId: RunId): Promise<void> {
  await give(runId, 'stop');
  await eventually(async () =>
    (await hub.hub.runs.store.commands(runId)).some(({ state }) => state === 'expired') ? true : null,
  );
}
const reason = 'Ended without its trainer, by dashboard: it had been told to stop and did not.';

describe('a run whose trainer does not stop', () => {
  it('is ended from the page; its trainer is let go, and told so when it comes back', async () => {
    const { runId, trainer } = await hung();
    await stopped(runId);
    const closed = new Promise((resolve) => trainer.once('disconnect', resolve));
    expect(await give(runId, 'end_run')).toMatchObject({
      ...{ state: 'applied', author: 'dashboard', step: 2, before: { state: 'running' }, after: { state: 'failed' } },
    });
    expect(await closed).toBe('io server disconnect');
    expect(await hub.until(runId, (run) => run.state === 'failed')).toMatchObject({ reason, trainerConnected: false });
    const kinds = (await hub.hub.runs.store.commands(runId)).map(({ action, state }) => [action.kind, state]);
    expect(kinds).toEqual([
      ['stop', 'expired'],
      ['end_run', 'applied'],
    ]);
    const refused = {
      ok: false,
      error: { code: 'conflict', message: expect.stringContaining('was ended at the hub'), retry: false },
    };
    expect(await hub.trainer().emitWithAck('attach', { ...attachment(runId), acknowledgedSeq: 2 })).toEqual(refused);
    await hub.restart();
    expect(await hub.trainer().emitWithAck('attach', { ...attachment(runId), acknowledgedSeq: 2 })).toEqual(refused);
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'failed', reason, lastSeq: 2 });
  });

  it('is not ended before it was told to stop, nor by whoever may only watch', async () => {
    const { runId } = await hung();
    expect(await give(runId, 'end_run')).toMatchObject({
      ...{ state: 'rejected', reason: expect.stringContaining('Stop the run first') },
    });
    await stopped(runId);
    const dashboard = await hub.dashboard().emitWithAck('command', aCommand(runId, { kind: 'end_run' }));
    expect(dashboard).toMatchObject({ error: { code: 'forbidden' } });
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'running' });
  });

  it('is ended where the store failed to say that it has the command, once another command comes', async () => {
    const { runId } = await hung();
    await stopped(runId);
    const { store } = hub.hub.runs;
    const putCommand = store.putCommand.bind(store);
    store.putCommand = async (record) => {
      store.putCommand = putCommand;
      await putCommand(record);
      throw new StoreUnavailableError('The connection broke.');
    };
    const command = aCommand(runId, { kind: 'end_run' });
    const ends = vi.fn();
    hub.hub.runs.on('command', (record) => record.commandId === command.commandId && ends(record.state));
    const give = () => hub.dashboard(cookie).emitWithAck('command', command);
    expect(await give()).toMatchObject({ ok: false, error: { code: 'store_failed', retry: true } });
    expect(await give()).toMatchObject({ ok: true, record: { state: 'applied' } });
    expect(await hub.until(runId, (run) => run.state === 'failed')).toMatchObject({ reason });
    expect(ends.mock.calls).toEqual([['applied']]);
  });

  it('ends by its last word though its commands could not be written and its trainer does not come back', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    trainer.on('command', (_command, ack) => ack({ ok: true }));
    await trainer.emitWithAck('events', { events: [started(), stepped(2)] });
    const answer = await hub.dashboard(cookie).emitWithAck('command', aCommand(runId, { kind: 'stop' }));
    if (!answer.ok) throw new Error(answer.error.message);
    const { commandId } = answer.record;
    const { store } = hub.hub.runs;
    const putCommand = store.putCommand.bind(store);
    store.putCommand = () => Promise.reject(new StoreUnavailableError('The disk is full.'));
    const at = { step: 2, wallTimeMs: testTimeMs + 9000 };
    const applied = {
      ...{ type: 'command_applied', seq: 3, ...at, commandId },
      ...{ before: { state: 'running' }, after: { state: 'stopped' } },
    } as ControlEvent;
    const lastWord: ControlEvent = { type: 'run_stopped', seq: 4, ...at, reason: 'Stopped.' };
    expect(await trainer.emitWithAck('events', { events: [applied, lastWord] })).toMatchObject({
      ...{ ok: false, error: { code: 'store_failed' } },
    });
    trainer.disconnect();
    await hub.until(runId, (run) => run.state === 'stopped' && !run.trainerConnected);
    store.putCommand = putCommand;
    await eventually(async () => ((await store.run(runId))?.state === 'stopped' ? true : null));
    expect(await store.command(commandId)).toMatchObject({ state: 'applied', step: 2, after: { state: 'stopped' } });
    expect((await hub.request('DELETE', `/runs/${runId}`, undefined, { cookie })).status).toBe(200);
  });

  it('refuses a command whose id an earlier one has, which is stored although its write failed', async () => {
    const { runId } = await hung();
    await stopped(runId);
    const { store } = hub.hub.runs;
    const [putCommand, command] = [store.putCommand.bind(store), store.command.bind(store)];
    const { commandId } = aCommand(runId, { kind: 'end_run' });
    // Both are looked up before either is written.
    let looked = 0;
    const bothLooked = new Promise<void>((resolve) => {
      store.command = async (id) => {
        const found = await command(id);
        if (++looked === 2) resolve();
        await bothLooked;
        return found;
      };
    });
    let isFirst = true;
    store.putCommand = async (record) => {
      await putCommand(record);
      if (!isFirst) return;
      isFirst = false;
      throw new StoreUnavailableError('The connection broke.');
    };
    const ends = vi.fn();
    hub.hub.runs.on('command', ({ commandId: id, state }) => id === commandId && state !== 'pending' && ends(state));
    const give = (kind: 'pause' | 'end_run') =>
      hub.dashboard(cookie).emitWithAck('command', { commandId, runId, action: { kind } });
    const answers = await Promise.all([give('pause'), give('end_run')]);
    [store.putCommand, store.command] = [putCommand, command];
    // The pause needs no look at the log before its turn, so it is first.
    expect(answers[0]).toMatchObject({ ok: false, error: { code: 'store_failed' } });
    expect(answers[1]).toMatchObject({
      ok: false,
      error: { code: 'conflict', message: expect.stringMatching(/for another command, pause/) },
    });
    expect((await store.command(commandId))!.action).toEqual({ kind: 'pause' });
    expect(ends.mock.calls).toEqual([]);
  });

  it('and has ended by then is left as it ended', async () => {
    const { runId, trainer } = await hung();
    await stopped(runId);
    const end = { type: 'run_stopped', seq: 3, step: 2, wallTimeMs: 1_700_000_000_009, reason: 'told to' } as const;
    await trainer.emitWithAck('events', { events: [end] });
    expect(await give(runId, 'end_run')).toMatchObject({
      state: 'rejected',
      reason: expect.stringContaining('(stopped)'),
    });
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'stopped', reason: 'told to' });
  });

  it('is ended by the hub that comes after one that died between the command and the end', async () => {
    const { runId } = await hung();
    await stopped(runId);
    const { store } = hub.hub.runs;
    const { updateRun } = store;
    store.updateRun = () => Promise.reject(new Error('The hub is gone.'));
    await give(runId, 'end_run');
    store.updateRun = updateRun;
    await hub.restart();
    await eventually(async () => ((await hub.hub.runs.store.run(runId))!.state === 'failed' ? true : null));
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'failed', reason });
  });
});

it('a run whose trainer never came is ended without a stop, and its trainer is refused when it comes', async () => {
  const runId = (await hub.hub.runs.create(attachment(aRunId()).run, null)).runId;
  expect(await give(runId, 'end_run')).toMatchObject({ state: 'applied', before: { state: 'created' } });
  expect(await hub.until(runId, (run) => run.state === 'failed')).toMatchObject({
    reason: 'Ended without its trainer, by dashboard: its trainer had not come.',
  });
  expect(await hub.trainer().emitWithAck('attach', attachment(runId))).toMatchObject({
    error: { code: 'conflict', message: expect.stringContaining('was ended at the hub') },
  });
});

it('a run whose trainer is there and has not begun is told to stop first', async () => {
  const runId = aRunId();
  await hub.attached(runId);
  expect(await give(runId, 'end_run')).toMatchObject({ state: 'rejected' });
});

it('a trainer that has confirmed a stop has its time', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-end-'));
  const store = new EmbeddedStore(join(folder, 'plumbline.duckdb'));
  const runs = new RunRegistry(store, {
    ...{ dataDir: folder, trainerGraceMs: 60_000, commandExpiryMs: 60_000, stopOverdueMs: 400 },
    ...{ webhooks: { secret: null, hosts: [] }, onError: (error: unknown) => expect(error).toBeUndefined() },
  });
  const runId = aRunId();
  const link = { send: (_: Command) => Promise.resolve(), close: () => undefined };
  await runs.attach(attachment(runId), link);
  await runs.append(runId, link, [started()]);
  await runs.command(aCommand(runId, { kind: 'stop' }), 'dashboard');
  expect(await runs.command(aCommand(runId, { kind: 'end_run' }), 'dashboard')).toMatchObject({ state: 'rejected' });
  await sleep(500);
  expect(await runs.command(aCommand(runId, { kind: 'end_run' }), 'dashboard')).toMatchObject({ state: 'applied' });
  await expect(runs.append(runId, link, [stepped(2)])).rejects.toThrow('was ended at the hub');
  // The stop has failed with the run.
  await eventually(async () => ((await store.commands(runId))[0]!.state === 'failed' ? true : null));
  runs.close();
  await store.close();
  rmSync(folder, { recursive: true });
});

it('the process of a built-in trainer that hangs is killed', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-hung-'));
  const trainerEntry = join(folder, 'trainer.mjs');
  // It does not even answer to being told to end.
  writeFileSync(trainerEntry, `process.on('SIGTERM', () => {}); setInterval(() => {}, 1000);`);
  const own = await TestHub.start({ trainerEntry, commandExpiryMs: 300 });
  const { runId } = await own.hub.supervisor.start({ config: RunConfig.parse({ name: 'hung' }) });
  expect(own.hub.runs.livingProcesses.has(runId)).toBe(true);
  await own.hub.runs.command(aCommand(runId, { kind: 'stop' }), 'dashboard');
  await eventually(async () => ((await own.hub.runs.store.commands(runId))[0]!.state === 'expired' ? true : null));
  await own.hub.runs.command(aCommand(runId, { kind: 'end_run' }), 'dashboard');
  await eventually(() => (own.hub.runs.livingProcesses.has(runId) ? null : true));
  const reason = 'Ended without its trainer, by dashboard: its trainer had not come.';
  expect(await own.hub.runs.get(runId)).toMatchObject({ state: 'failed', reason });
  await own.remove();
  rmSync(folder, { recursive: true });
});

describe('a run whose store shows events late', () => {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-late-'));
  const store = new EmbeddedStore(join(folder, 'plumbline.duckdb'));
  const onError = vi.fn();
  const runs = new RunRegistry(store, {
    ...{ dataDir: folder, trainerGraceMs: 60_000, commandExpiryMs: 60_000, stopOverdueMs: 0, tryAgainMs: 1 },
    ...{ webhooks: { secret: null, hosts: [] }, onError },
  });
  const eachControlEvents = store.eachControlEvents.bind(store);
  const putCommand = store.putCommand.bind(store);
  /** The next reads see only events up to 2. */
  let lateReads = 0;
  store.eachControlEvents = async (runId, take, options) => {
    if (lateReads === 0) return eachControlEvents(runId, take, options);
    lateReads--;
    const isSeen = (text: string) => (JSON.parse(text) as { seq: number }).seq <= 2;
    await eachControlEvents(runId, (texts) => take(texts.filter(isSeen)), options);
    return { lastSeq: 2 };
  };
  afterAll(async () => {
    runs.close();
    await store.close();
    rmSync(folder, { recursive: true });
  });

  /** Its trainer has applied a stop, and the hub could not record that. */
  async function applied(lastWords: ControlEvent[]): Promise<{ runId: RunId; commandId: CommandId }> {
    const runId = aRunId();
    const link = { send: (_: Command) => Promise.resolve(), close: () => undefined };
    await runs.attach(attachment(runId), link);
    await runs.append(runId, link, [started(), stepped(2)]);
    const command = aCommand(runId, { kind: 'stop' });
    await runs.command(command, 'dashboard');
    store.putCommand = () => Promise.reject(new StoreUnavailableError('The disk is full.'));
    const change = { before: { state: 'running' }, after: { state: 'stopped' } };
    const at = { step: 2, wallTimeMs: testTimeMs };
    const { commandId } = command;
    const events = [{ type: 'command_applied', seq: 3, ...at, commandId, ...change } as ControlEvent, ...lastWords];
    await expect(runs.append(runId, link, events)).rejects.toThrow('The disk is full.');
    store.putCommand = putCommand;
    return { runId, commandId };
  }
  const storedAs = (runId: RunId, state: RunSummary['state']) =>
    eventually(async () => ((await store.run(runId))?.state === state ? true : null));

  it('ends by its last word only when it shows how the trainer ended its commands', async () => {
    lateReads = 3;
    const lastWord = { type: 'run_stopped', seq: 4, step: 2, wallTimeMs: testTimeMs, reason: 'Stopped.' } as const;
    const { runId, commandId } = await applied([lastWord]);
    await storedAs(runId, 'stopped');
    expect(await store.command(commandId)).toMatchObject({ state: 'applied', step: 2 });
    expect(lateReads).toBe(0);
  });

  it('ends without its trainer only when it shows how the trainer ended its commands', async () => {
    const { runId, commandId } = await applied([]);
    lateReads = 3;
    await runs.command(aCommand(runId, { kind: 'end_run' }), 'dashboard');
    await storedAs(runId, 'failed');
    expect(await store.command(commandId)).toMatchObject({ state: 'applied', step: 2 });
    expect(lateReads).toBe(0);
  });

  it('ends all the same if it never does', async () => {
    const { runId, commandId } = await applied([]);
    lateReads = Infinity;
    await runs.command(aCommand(runId, { kind: 'end_run' }), 'dashboard');
    await storedAs(runId, 'failed');
    lateReads = 0;
    expect(await store.command(commandId)).toMatchObject({ state: 'failed', step: null });
    expect(onError).toHaveBeenCalledWith(expect.objectContaining({ message: expect.stringContaining('up to 2 of 3') }));
  });
});
