import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunId, RunParent } from '@plumbline/shared/run';
import type { WireEvent } from '@plumbline/shared/wire-event';
import { saved } from '../../test/support/ruled-runs.js';
import {
  aRunId,
  attachment,
  eventually,
  finished,
  started,
  stepped,
  TestHub,
  type TrainerEnd,
} from '../../test/support/test-hub.js';
import { StoreUnavailableError } from '../store/event-store.js';
import type { StoredEvent } from '../store/protocol-1.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start({ trainerGraceMs: 600 });
});
afterAll(() => hub.remove());

const send = (trainer: TrainerEnd, events: WireEvent[]) => trainer.emitWithAck('events', { events });
const stored = (runId: RunId): Promise<StoredEvent[]> => hub.hub.runs.store.events(runId, 1, 1000);
const refused = (code: string, retry: boolean, message: unknown = expect.any(String)) => ({
  ok: false,
  error: { code, message, retry },
});
/** Holds back a call of the store until it is let go. */
function hold<K extends 'createRun' | 'append'>(name: K): { asked: () => Promise<unknown>; release: () => void } {
  const { store } = hub.hub.runs;
  const original = store[name].bind(store) as (...args: unknown[]) => Promise<unknown>;
  let asked = 0;
  let release = (): void => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  store[name] = (async (...args: unknown[]) => {
    asked++;
    await released;
    return original(...args);
  }) as never;
  return {
    asked: () => eventually(() => (asked > 0 ? true : null)),
    release: () => {
      store[name] = original as never;
      release();
    },
  };
}

describe('batches that are sent before those before are answered', () => {
  it('are refused after the last word', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const answers = await Promise.all([
      send(trainer, [started()]),
      send(trainer, [stepped(2), finished(3)]),
      send(trainer, [stepped(4)]),
      send(trainer, [stepped(4), stepped(5)]),
    ]);
    expect(answers).toEqual([
      { ok: true, lastSeq: 1 },
      { ok: true, lastSeq: 3 },
      refused('conflict', false, expect.stringContaining('has ended (finished)')),
      refused('conflict', false),
    ]);
    expect((await stored(runId)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'finished', lastSeq: 3, lastStep: 3 });
  });

  it('are refused if their steps go back', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const answers = await Promise.all([
      send(trainer, [started(), { ...stepped(2), step: 10 }]),
      send(trainer, [{ ...stepped(3), step: 4 }]),
      send(trainer, [{ ...stepped(3), step: 11 }]),
    ]);
    expect(answers).toEqual([
      { ok: true, lastSeq: 2 },
      refused('invalid', false, expect.stringContaining('Steps do not go back')),
      { ok: true, lastSeq: 3 },
    ]);
    expect((await stored(runId)).map(({ step }) => step)).toEqual([0, 10, 11]);
  });

  it('are answered separately if one has a gap or a repeat', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const answers = await Promise.all([
      send(trainer, [started(), stepped(2)]),
      send(trainer, [stepped(9)]),
      send(trainer, [stepped(2), stepped(3)]),
    ]);
    expect(answers).toEqual([
      { ok: true, lastSeq: 2 },
      { ...refused('gap', true), lastSeq: 2 },
      { ok: true, lastSeq: 3 },
    ]);
  });

  it('are all sent again after a failure of the store, and none is lost or stored twice', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const { store } = hub.hub.runs;
    const append = store.append.bind(store);
    let failures = 0;
    // The first is not stored; the second is, though it looks as if it were not.
    store.append = async (...args) => {
      failures++;
      if (failures === 2) await append(...args);
      if (failures <= 2) throw new StoreUnavailableError('The disk is full.');
      return append(...args);
    };
    const batches = [[started(), stepped(2)], [stepped(3)], [stepped(4), finished(5)]];
    const sendAll = () => Promise.all(batches.map((events) => send(trainer, events)));
    for (const answer of await sendAll()) expect(answer).toMatchObject({ ok: false });
    await sendAll();
    expect((await sendAll()).at(-1)).toEqual({ ok: true, lastSeq: 5 });
    store.append = append;
    expect((await stored(runId)).map(({ seq }) => seq)).toEqual([1, 2, 3, 4, 5]);
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'finished', lastSeq: 5 });
  });
});

describe('a connection', () => {
  it('that attaches two runs at once holds one of them', async () => {
    const trainer = hub.trainer();
    const [first, second] = [attachment(aRunId()), attachment(aRunId())];
    const answers = await Promise.all([trainer.emitWithAck('attach', first), trainer.emitWithAck('attach', second)]);
    expect(answers).toEqual([
      { ok: true, lastSeq: 0, nextSeries: 0 },
      refused('conflict', false, expect.stringContaining('holds')),
    ]);
    trainer.disconnect();
    await hub.until(first.runId, (run) => !run.trainerConnected);
    const held = (await hub.hub.runs.list()).filter((run) => run.trainerConnected).map(({ runId }) => runId);
    expect(held).not.toContain(second.runId);
  });

  it('holds no run if it is lost during the attach', async () => {
    const runId = aRunId();
    const trainer = hub.trainer();
    const held = hold('createRun');
    trainer.emit('attach', attachment(runId), () => undefined);
    await held.asked();
    trainer.disconnect();
    await new Promise((resolve) => setTimeout(resolve, 100));
    held.release();
    await eventually(() => (hub.hub.runs.known.some((run) => run.runId === runId) ? true : null));
    await hub.until(runId, (run) => !run.trainerConnected);
    await hub.until(runId, (run) => run.state === 'failed');
  });
});

describe('a trainer whose connection breaks while it attaches', () => {
  it.each(['a new run', 'a branch'])('%s, with the store busy, is taken when it comes back', async (what) => {
    let parent: RunParent | null = null;
    if (what === 'a branch') {
      const from = aRunId();
      await send(await hub.attached(from), [started(), saved(2, 2), finished(3)]);
      parent = { runId: from, checkpointId: 'step-2' as never, step: 2 };
    }
    const attach = { ...attachment(aRunId()), parent };
    const held = hold('createRun');
    const first = hub.trainer();
    first.emit('attach', attach, () => undefined);
    await held.asked();
    first.disconnect();
    const again = hub.trainer().emitWithAck('attach', attach);
    await new Promise((resolve) => setTimeout(resolve, 100));
    held.release();
    expect(await again).toEqual({ ok: true, lastSeq: 0, nextSeries: 0 });
    expect(await hub.hub.runs.get(attach.runId)).toMatchObject({ trainerConnected: true });
  });

  it('finds the run that a failed write had stored', async () => {
    const attach = attachment(aRunId());
    const { store } = hub.hub.runs;
    const createRun = store.createRun.bind(store);
    store.createRun = async (run) => {
      store.createRun = createRun;
      await createRun(run);
      throw new StoreUnavailableError('The disk is slow.');
    };
    const trainer = hub.trainer();
    expect(await trainer.emitWithAck('attach', attach)).toEqual(refused('store_failed', true));
    expect(await trainer.emitWithAck('attach', attach)).toEqual({ ok: true, lastSeq: 0, nextSeries: 0 });
  });
});

describe('news of a run', () => {
  it('can be ordered against the list by revision, also after a restart', async () => {
    const runId = aRunId();
    const dashboard = hub.dashboard();
    const told: number[] = [];
    dashboard.on('run', (run) => void (run.runId === runId && told.push(run.revision!)));
    await dashboard.emitWithAck('watch', { runId });
    const trainer = await hub.attached(runId);
    for (const events of [[started()], [stepped(2)], [stepped(3)]]) await send(trainer, events);
    const listed = async () => (await hub.hub.runs.list()).find((run) => run.runId === runId)!.revision!;
    const before = await listed();
    trainer.disconnect();
    await hub.until(runId, (run) => !run.trainerConnected);
    await eventually(() => (told.length >= 4 ? true : null));
    expect(told).toEqual([...new Set(told)].sort((a, b) => a - b));
    expect(told.at(-1)).toBeGreaterThan(before);
    await hub.restart();
    expect(await listed()).toBeGreaterThan(told.at(-1)!);
  });
});

describe('a run belongs to the trainer that opened it', () => {
  const secret = 'a secret of this trainer, 1';
  const other = 'a secret of somebody else, 2';

  it('so that nobody without its secret can take it over, not even after a restart', async () => {
    const runId = aRunId();
    const attach = attachment(runId);
    const owner = hub.trainer();
    expect(await owner.emitWithAck('attach', { ...attach, secret })).toMatchObject({ ok: true });
    await send(owner, [started()]);
    for (const given of [attach, { ...attach, secret: other }])
      expect(await hub.trainer().emitWithAck('attach', given)).toEqual(
        refused('forbidden', false, expect.stringContaining('belongs to the trainer that opened it')),
      );
    expect(await send(owner, [stepped(2)])).toEqual({ ok: true, lastSeq: 2 });
    await hub.restart();
    expect(await hub.trainer().emitWithAck('attach', attach)).toMatchObject({ error: { code: 'forbidden' } });
    expect(await hub.trainer().emitWithAck('attach', { ...attach, secret })).toMatchObject({ ok: true, lastSeq: 2 });
  });

  it('that first attaches with a secret, if it was opened without one', async () => {
    const attach = attachment(aRunId());
    await hub.attached(attach.runId);
    expect(await hub.trainer().emitWithAck('attach', attach)).toMatchObject({ ok: true });
    expect(await hub.trainer().emitWithAck('attach', { ...attach, secret })).toMatchObject({ ok: true });
    await hub.restart();
    expect(await hub.trainer().emitWithAck('attach', attach)).toMatchObject({ error: { code: 'forbidden' } });
  });

  it('and the secret is never published', async () => {
    const attach = { ...attachment(aRunId()), secret };
    const dashboard = hub.dashboard();
    const told: unknown[] = [];
    dashboard.on('run', (run) => told.push(run));
    await dashboard.emitWithAck('watch', { runId: attach.runId });
    const trainer = hub.trainer();
    await trainer.emitWithAck('attach', attach);
    await send(trainer, [started(), finished(2)]);
    await hub.restart();
    for (const path of ['', `/${attach.runId}`, `/${attach.runId}/export`])
      told.push(await (await hub.request('GET', `/runs${path}`)).text());
    expect(told.length).toBeGreaterThan(3);
    expect(JSON.stringify(told)).not.toMatch(/secret|[0-9a-f]{64}(?!\w*")(?<!sha256:.{64})/i);
  });

  it('and a secret that is too short is refused', async () => {
    const answer = await hub.trainer().emitWithAck('attach', { ...attachment(aRunId()), secret: 'short' });
    expect(answer).toMatchObject({ error: { code: 'invalid' } });
  });
});

describe('a branch', () => {
  const branchOf = (runId: RunId, checkpointId = 'step-2', step = 2, of = aRunId()) =>
    hub.trainer().emitWithAck('attach', {
      ...attachment(of),
      parent: { runId, checkpointId: checkpointId as never, step },
    });
  async function parent(): Promise<RunId> {
    const runId = aRunId();
    await send(await hub.attached(runId), [started(), saved(2, 2), stepped(3)]);
    return runId;
  }

  it('goes on from a checkpoint that its parent has saved, though it was removed since', async () => {
    const from = await parent();
    expect(await branchOf(from)).toEqual({ ok: true, lastSeq: 0, nextSeries: 0 });
    const again = await hub.attached(from);
    await send(again, [
      { type: 'checkpoint_removed', seq: 4, step: 3, wallTimeMs: 1_700_000_000_001, checkpointId: 'step-2' as never },
    ]);
    expect(await branchOf(from)).toEqual({ ok: true, lastSeq: 0, nextSeries: 0 });
  });

  it('is refused from a missing run or checkpoint', async () => {
    const from = await parent();
    expect(await branchOf(aRunId())).toEqual(refused('not_found', false, expect.stringContaining('to go on from')));
    expect(await branchOf(from, 'step-9', 9)).toEqual(refused('invalid', false, expect.stringContaining('step-9')));
    expect(await branchOf(from, 'step-2', 1)).toEqual(refused('invalid', false, expect.stringContaining('at step 2')));
  });

  it('is refused from itself, and leaves nothing', async () => {
    const runId = aRunId();
    expect(await branchOf(runId, 'step-2', 2, runId)).toEqual(refused('invalid', false));
    expect((await hub.request('GET', `/runs/${runId}`)).status).toBe(404);
  });

  it('is refused from an imported run that descends from it', async () => {
    const [runId, imported] = [aRunId(), aRunId()];
    const { store } = hub.hub.runs;
    await store.createRun({
      ...{ runId: imported, description: attachment(imported).run, state: 'finished', reason: '', trainer: null },
      parent: { runId, checkpointId: 'step-2' as never, step: 2 },
      ...{ createdMs: 1, startedMs: null, endedMs: 2 },
    });
    await store.append(imported, [started(), saved(2, 2)]);
    await hub.restart();
    expect(await branchOf(imported, 'step-2', 2, runId)).toEqual(refused('invalid', false));
  });
});
