import { afterAll, beforeAll, describe, expect, it, afterEach, beforeEach } from 'vitest';
import { maxEventsPerBatch, maxMessageBytes } from '@plumbline/shared/limits';
import type { ControlEventsResponse } from '@plumbline/shared/http';
import { weightDrift } from '@plumbline/shared/metric';
import { protocolVersion, hubCapabilities, type WireError } from '@plumbline/shared/socket';
import { maxAnsweredBytes } from '../access/limits.js';
import { mkdirSync, renameSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import type { RunId } from '@plumbline/shared/run';
import { mixture } from '../../test/support/real-models.js';
import {
  aRunId,
  attachment,
  eventually,
  finished,
  started,
  stepped,
  testTimeMs,
  TestHub,
  type TrainerEnd,
  silentLink,
} from '../../test/support/test-hub.js';

import { storeFile } from '../store/open-store.js';
import { HubLink } from '../trainer/hub-link.js';
import { describeModel } from '../trainer/models/parameter-roles.js';
import { canonicalJson } from '../transfer/canonical-json.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start({ trainerGraceMs: 600 });
});
afterAll(() => hub.remove());

const refusal = (trainer: TrainerEnd) =>
  new Promise<unknown>((resolve) =>
    trainer.once('connect_error', (error) => resolve((error as Error & { data?: unknown }).data)),
  );
/** Sends what no correct trainer would. */
const sendAnything = (trainer: TrainerEnd, event: string, message: unknown) =>
  (
    trainer as unknown as { emitWithAck(event: string, message: unknown): Promise<Record<string, unknown>> }
  ).emitWithAck(event, message);

describe('a trainer that connects', () => {
  it.each([
    ['a wrong token', { token: 'wrong', protocol: protocolVersion }],
    ['no token', {}],
    ['a token that is no text', { token: 7, protocol: protocolVersion }],
  ])('is refused with %s', async (_, auth) => {
    expect(await refusal(hub.trainer(auth))).toMatchObject({ code: 'unauthorized' });
  });

  it.each([
    ['a newer protocol', { protocol: 99 }, 'protocol_too_new', /speaks trainer protocol 2, .* 99: update the hub\.$/],
    ['an older one', { protocol: 1 }, 'protocol_too_old', /speaks trainer protocol 2, .* 1: update the trainer\.$/],
    ['none', {}, 'protocol_too_old', /says none: update the trainer\.$/],
    ['one that is no number', { protocol: 'two' }, 'invalid', /^protocol: /],
    [
      'the need of what the hub does not have',
      { protocol: 2, capabilities: ['busy', 'holograms', 'time_travel'] },
      'capability_missing',
      /^This hub does not have holograms, time_travel, .*: update the hub, or let the trainer do without\. The hub has busy, /,
    ],
  ])('is refused with %s, and told what to do', async (_, auth, code, message) => {
    expect(await refusal(hub.trainer({ token: hub.token, ...auth }))).toEqual({
      code,
      message: expect.stringMatching(message),
    });
  });

  it('is let in with needs that the hub meets', async () => {
    const trainer = hub.trainer({ token: hub.token, protocol: protocolVersion, capabilities: [...hubCapabilities] });
    expect(await trainer.emitWithAck('attach', attachment(aRunId()))).toMatchObject({ ok: true });
  });

  it('is refused when a page of another origin opened the connection', async () => {
    const response = await fetch(`${hub.url}/socket.io/?EIO=4&transport=polling`, {
      headers: { origin: 'http://evil.test' },
    });
    expect(response.status).toBe(403);
    expect(await response.text()).toContain('PLUMBLINE_ALLOWED_ORIGINS');
  });
});

describe('text that would steer a terminal', () => {
  it('is cleaned in the name of a new run and in what its trainer says, and the run goes on', async () => {
    const runId = aRunId();
    const { run, ...rest } = attachment(runId);
    const odd = { ...rest, run: { ...run, name: 'Nice \u001b[2K name' } };
    const trainer = hub.trainer();
    expect(await sendAnything(trainer, 'attach', odd)).toMatchObject({ ok: true });
    expect((await hub.hub.runs.get(runId)).description.name).toBe('Nice \uFFFD[2K name');
    expect(await sendAnything(trainer, 'attach', odd)).toMatchObject({ ok: true });
    const failed = {
      type: 'run_failed',
      seq: 2,
      step: 0,
      wallTimeMs: 1_700_000_000_001,
      reason: 'line 1\n\u001b[31mCUDA error\u001b[0m',
    };
    expect(await sendAnything(trainer, 'events', { events: [started(), failed] })).toMatchObject({ ok: true });
    expect((await hub.hub.runs.get(runId)).reason).toBe('line 1\n\uFFFD[31mCUDA error\uFFFD[0m');
  });
  it('was stored before, and the hub could not read that when it started: its run is gone on with all the same', async () => {
    const other = await TestHub.start();
    const { run } = attachment(aRunId());
    const old = { ...run, name: 'Old \u0007 name' };
    const { runId } = await other.hub.runs.create(old, null);
    const file = join(other.config.dataDir, storeFile);
    await other.hub.close();
    renameSync(file, `${file}.away`);
    mkdirSync(file);
    await other.open();
    expect(other.hub.storeProblem).not.toBeNull();
    rmdirSync(file);
    renameSync(`${file}.away`, file);
    const attached = await sendAnything(other.trainer(), 'attach', { runId, run: old, parent: null });
    expect(attached).toMatchObject({ ok: true });
    await other.remove();
  });

  it('was stored before: its run is gone on with as it is', async () => {
    const { run } = attachment(aRunId());
    const old = { ...run, name: 'Old \u0007 name' };
    const { runId } = await hub.hub.runs.create(old, null);
    const attached = await sendAnything(hub.trainer(), 'attach', { runId, run: old, parent: null });
    expect(attached).toMatchObject({ ok: true });
    expect((await hub.hub.runs.get(runId)).description.name).toBe(old.name);
  });
});

describe('a trainer that does not wait for answers', () => {
  /** Lets appends go on that hang. */
  let release: () => void;
  let restore: () => void;
  beforeEach(() => {
    const { store } = hub.hub.runs;
    const { append } = store;
    const held = new Promise<void>((resolve) => (release = resolve));
    store.append = async (...args) => {
      await held;
      return append.apply(store, args) as never;
    };
    restore = () => (store.append = append);
  });
  afterEach(() => {
    release();
    restore();
  });
  const refused = { ok: false, error: { code: 'rate_limited', message: expect.any(String), retry: true } };
  const lastSeq = (count: number) => ({ ok: true, lastSeq: count });

  it('has sixteen batches taken while the store hangs; the next are refused, and taken when it goes on', async () => {
    const trainer = await hub.attached(aRunId());
    const send = (seq: number) => trainer.emitWithAck('events', { events: [seq === 1 ? started() : stepped(seq)] });
    const taken = Array.from({ length: 16 }, (_, i) => send(i + 1));
    expect(await Promise.all([send(17), send(18)])).toEqual([refused, refused]);
    release();
    expect(await Promise.all(taken)).toEqual(taken.map((_, i) => lastSeq(i + 1)));
    expect(await send(17)).toEqual(lastSeq(17));
  });

  it('has one message of the largest size taken, and no second one beside it', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const after = Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`text ${i}`, 'x'.repeat(20_000)]));
    const step = (seq: number) => ({
      ...{ type: 'command_applied' as const, seq, step: seq, wallTimeMs: testTimeMs, before: {}, after },
      commandId: 'command-1' as never,
    });
    // About a megabyte each.
    const batch = (from: number, count: number) => ({
      events: Array.from({ length: count }, (_, i) => step(from + i)),
    });
    const first = trainer.emitWithAck('events', batch(1, 30));
    expect(await trainer.emitWithAck('events', batch(31, 4))).toEqual(refused);
    release();
    expect(await first).toEqual(lastSeq(30));
    expect(await trainer.emitWithAck('events', batch(31, 4))).toEqual(lastSeq(34));
  });

  it('sends again what was refused, as our own does, and all of it is stored once', async () => {
    const runId = aRunId();
    const link = new HubLink(hub.url, hub.token, { window: 40, retryMs: 20 });
    await link.attach(runId, attachment(runId).run, null);
    let refusals = 0;
    const count = (of: RunId | null, error: WireError): void =>
      void (refusals += of === runId && error.code === 'rate_limited' ? 1 : 0);
    hub.hub.runs.on('refused', count);
    for (let step = 1; step <= 40; step++) {
      link.emit({ type: 'step_completed', stage: 0, step, wallTimeMs: testTimeMs, metrics: { 'train/loss': step } });
      // A batch of its own.
      await new Promise((resolve) => setImmediate(resolve));
    }
    await eventually(() => Promise.resolve(refusals > 0 ? true : null));
    release();
    expect(await link.flush()).toBe(true);
    link.close();
    hub.hub.runs.off('refused', count);
    const { series } = await hub.hub.runs.store.history(runId, { maxPoints: 1000 });
    expect([...series.get('train/loss')!.values]).toEqual(Array.from({ length: 40 }, (_, i) => i + 1));
  });
});

describe('a trainer that attaches again', () => {
  it('on the same connection keeps it and is told where the hub stands', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    await trainer.emitWithAck('events', { events: [started(), stepped(2)] });
    expect(await trainer.emitWithAck('attach', attachment(runId))).toMatchObject({ ok: true, lastSeq: 2 });
    expect(await trainer.emitWithAck('events', { events: [stepped(3)] })).toMatchObject({ ok: true, lastSeq: 3 });
    expect((await hub.hub.runs.get(runId)).trainerConnected).toBe(true);
  });

  it('with another configuration or parent is refused, and told what differs; the run keeps its trainer', async () => {
    const runId = aRunId();
    const first = await hub.attached(runId);
    const { run } = attachment(runId);
    const parent = { runId: aRunId(), checkpointId: 'step-2', step: 2 };
    expect(
      await sendAnything(hub.trainer(), 'attach', {
        ...{ runId, parent },
        run: { ...run, settings: { ...run.settings, learningRate: 0.5 } },
      }),
    ).toEqual({
      ok: false,
      error: {
        code: 'conflict',
        message:
          `There is another run ${runId} already, with settings.learningRate 0.001, not 0.5; parent null, not ` +
          `${JSON.stringify(parent)}. Give this one an id of its own.`,
        retry: false,
      },
    });
    expect(await first.emitWithAck('events', { events: [started()] })).toMatchObject({ ok: true, lastSeq: 1 });
  });

  it('after a restart of the hub has the same settings, -0 among them', async () => {
    const own = await TestHub.start();
    const runId = aRunId();
    const { run } = attachment(runId);
    const attach = { ...attachment(runId), run: { ...run, settings: { ...run.settings, offset: -0 } } };
    // As a Python trainer writes it: JSON.stringify has no -0.
    const before = await own.hub.runs.attach(attach, silentLink());
    expect(before.lastSeq).toBe(0);
    await own.restart();
    const after = own.hub.runs.attach(attach, silentLink());
    expect(await after).toMatchObject({ lastSeq: 0 });
    await own.remove();
  });

  it('describes the run as at first or as it has since, and is taken', async () => {
    const runId = aRunId();
    const first = { runId, run: { name: 'First', settings: { lr: 1 }, tags: ['a'] }, parent: null };
    const trainer = hub.trainer();
    expect(await sendAnything(trainer, 'attach', first)).toMatchObject({ ok: true });
    const other = { ...first, run: { ...first.run, name: 'Other' } };
    expect(await sendAnything(hub.trainer(), 'attach', other)).toMatchObject({
      error: { code: 'conflict', message: expect.stringContaining('name "First", not "Other"') },
    });
    const described = {
      type: 'run_described',
      seq: 2,
      step: 0,
      wallTimeMs: 1_700_000_000_001,
      name: 'Second',
      totalSteps: 40,
    };
    expect(await sendAnything(trainer, 'events', { events: [started(), described] })).toMatchObject({ ok: true });
    expect((await hub.hub.runs.get(runId)).description).toMatchObject({
      ...{ name: 'Second', tags: ['a'], settings: { lr: 1 }, totalSteps: 40, stages: [] },
    });
    expect(await sendAnything(hub.trainer(), 'attach', first)).toMatchObject({ ok: true });
    const again = { ...first, run: { ...first.run, name: 'Second', totalSteps: 40 } };
    expect(await sendAnything(hub.trainer(), 'attach', again)).toMatchObject({ ok: true });
    const wrong = { ...first, run: { ...first.run, settings: { lr: 2 } } };
    expect(await sendAnything(hub.trainer(), 'attach', wrong)).toMatchObject({
      error: { code: 'conflict', message: expect.stringContaining('settings.lr 1, not 2') },
    });
  });

  it('on another connection takes the run over', async () => {
    const runId = aRunId();
    const first = await hub.attached(runId);
    const gone = new Promise((resolve) => first.once('disconnect', resolve));
    const second = await hub.attached(runId);
    expect(await gone).toBe('io server disconnect');
    expect(await second.emitWithAck('events', { events: [started()] })).toMatchObject({ ok: true, lastSeq: 1 });
  });
});

describe("a trainer's events", () => {
  it('are refused before a run is attached', async () => {
    expect(await hub.trainer().emitWithAck('events', { events: [started()] })).toMatchObject({
      ok: false,
      error: { code: 'not_found' },
    });
  });

  it('are answered once stored, with the highest number; repeats change nothing; a gap says where to go on', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    expect(await trainer.emitWithAck('events', { events: [started(), stepped(2)] })).toEqual({ ok: true, lastSeq: 2 });
    expect(await trainer.emitWithAck('events', { events: [started(), stepped(2)] })).toEqual({ ok: true, lastSeq: 2 });
    expect(await trainer.emitWithAck('events', { events: [stepped(5)] })).toMatchObject({
      ok: false,
      lastSeq: 2,
      error: { code: 'gap', message: expect.stringContaining('from 3') },
    });
    expect(await trainer.emitWithAck('events', { events: [stepped(4), stepped(3)] })).toMatchObject({
      error: { code: 'gap' },
    });
    expect(await trainer.emitWithAck('events', { events: [stepped(2), stepped(3)] })).toEqual({ ok: true, lastSeq: 3 });
    const { series } = await hub.hub.runs.store.history(runId, { maxPoints: 100 });
    expect([...series.get('train/loss')!.values]).toEqual([2, 3]);
  });

  it.each([
    ['nothing', undefined],
    ['text', 'events'],
    ['a list', []],
    ['an unknown event', { events: [{ type: 'exploded', seq: 1, step: 0, wallTimeMs: 1_700_000_000_000 }] }],
    ['a value for no series', { events: [{ ...stepped(1), series: [] }] }],
    ['values by name', { events: [{ ...stepped(1), series: undefined, metrics: { loss: 1 } }] }],
    ['a time in nanoseconds', { events: [{ ...stepped(1), wallTimeMs: 1.7e18 }] }],
    ['a negative step', { events: [{ ...stepped(1), step: -1 }] }],
  ])('are refused when malformed: %s', async (_, message) => {
    const runId = aRunId();
    const answer = await sendAnything(await hub.attached(runId), 'events', message);
    expect(answer).toMatchObject({ ok: false, error: { code: 'invalid', message: expect.stringMatching(/\w{5}/) } });
    expect(await hub.hub.runs.store.lastSeq(runId)).toBe(0);
  });

  it('are refused where the model says no roles, and told what is missing', async () => {
    const model = { name: 'm', parameters: [{ name: 'a.weight', shape: [1], size: 1, group: 'a' }] };
    const answer = await sendAnything(await hub.attached(aRunId()), 'events', { events: [{ ...started(), model }] });
    expect(answer).toMatchObject({
      error: {
        code: 'invalid',
        message:
          'events.0.model.parameters.0.group: event 1 (run_started): the parameter "a.weight" names the group "a", which ' +
          'is not in groups; add it there with its role',
      },
    });
  });

  it('may tell of 49,914 parameters, each in a group of its own, and of the drift of them all', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const model = describeModel('a mixture of experts', mixture(127));
    const trainable = model.parameters.map(({ name }) => name);
    const drift = Object.fromEntries(model.groups.map(({ name }, index) => [weightDrift(name), index / 7]));
    const names = Object.keys(drift);
    const start = { ...started(1, names), model, trainable };
    expect(await trainer.emitWithAck('events', { events: [start] })).toEqual({ ok: true, lastSeq: 1 });
    const probe = { ...stepped(2, drift, names), type: 'probe_completed' } as const;
    expect(await trainer.emitWithAck('events', { events: [probe] })).toEqual({ ok: true, lastSeq: 2 });
    const { events } = await hub.get<ControlEventsResponse>(`/runs/${runId}/events`);
    // As text: a deep comparison of so much takes minutes.
    expect(canonicalJson(events) === canonicalJson([start])).toBe(true);
    const { series } = await hub.hub.runs.store.history(runId, { maxPoints: 5 });
    expect(series.size).toBe(model.groups.length);
  });

  it('are refused as too large above the bound of a batch', async () => {
    const events = Array.from({ length: maxEventsPerBatch + 1 }, (_, i) => stepped(i + 1));
    const answer = await (await hub.attached(aRunId())).emitWithAck('events', { events });
    expect(answer).toMatchObject({ ok: false, error: { code: 'too_large' } });
  });

  it('are answered above the bound of a message, and the connection stays; far above it, it ends', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const long = (length: number) => ({ events: 'x'.repeat(length) }) as never;
    expect(await trainer.emitWithAck('events', long(maxMessageBytes + 1))).toMatchObject({
      ok: false,
      error: { code: 'too_large', message: expect.stringContaining('32 MiB: send the batch in parts'), retry: false },
    });
    expect(await trainer.emitWithAck('events', { events: [started()] })).toEqual({ ok: true, lastSeq: 1 });
    expect((await hub.hub.runs.get(runId)).refused?.message).toContain('32 MiB');
    const closed = new Promise((resolve) => trainer.once('disconnect', resolve));
    trainer.emit('events', long(maxAnsweredBytes + 1), () => {});
    await closed;
    expect((await fetch(`${hub.url}/healthz`)).status).toBe(200);
  });

  it('are not taken after the last word; asking again is answered', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    expect(await trainer.emitWithAck('events', { events: [started(), finished(2), stepped(3)] })).toMatchObject({
      error: { code: 'invalid' },
    });
    await trainer.emitWithAck('events', { events: [started(), finished(2)] });
    expect(await trainer.emitWithAck('events', { events: [finished(2)] })).toEqual({ ok: true, lastSeq: 2 });
    expect(await trainer.emitWithAck('events', { events: [stepped(3)] })).toMatchObject({
      error: { code: 'conflict' },
    });
    expect(await (await hub.attached(runId)).emitWithAck('attach', attachment(runId))).toMatchObject({
      ok: true,
      lastSeq: 2,
    });
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'finished', lastStep: 2, endedMs: testTimeMs + 9000 });
  });
});

describe('a run and its trainer', () => {
  it('a message that names no run is refused', async () => {
    for (const message of [undefined, { runId: 'No Such Id' }, { runId: aRunId(), run: { name: '' }, parent: null }])
      expect(await sendAnything(hub.trainer(), 'attach', message)).toMatchObject({ error: { code: 'invalid' } });
  });

  it('a connection holds one run at a time, and may take another after the first has ended', async () => {
    const trainer = await hub.attached(aRunId());
    const second = attachment(aRunId());
    expect(await trainer.emitWithAck('attach', second)).toMatchObject({ error: { code: 'conflict' } });
    await trainer.emitWithAck('events', { events: [started(), finished(2)] });
    expect(await trainer.emitWithAck('attach', second)).toEqual({ ok: true, lastSeq: 0, nextSeries: 0 });
    expect(await hub.hub.runs.get(second.runId)).toMatchObject({ trainerConnected: true });
  });

  it('the newest connection of a run takes it over', async () => {
    const runId = aRunId();
    const old = await hub.attached(runId);
    const closed = new Promise((resolve) => old.once('disconnect', resolve));
    const fresh = await hub.attached(runId);
    expect(await closed).toBe('io server disconnect');
    expect(await hub.hub.runs.get(runId)).toMatchObject({ trainerConnected: true });
    expect(await fresh.emitWithAck('events', { events: [started()] })).toEqual({ ok: true, lastSeq: 1 });
  });

  it('a lost trainer fails its run with the reason; one that comes back after all goes on', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const paused = { type: 'run_paused', seq: 2, step: 0, wallTimeMs: 1_700_000_000_001, reason: 'by hand' } as const;
    await trainer.emitWithAck('events', { events: [started(), paused] });
    trainer.disconnect();
    await hub.until(runId, (run) => !run.trainerConnected);
    const failed = await hub.until(runId, (run) => run.state === 'failed');
    expect(failed.reason).toMatch(/did not connect again/);

    const again = await hub.attached(runId);
    expect(await hub.hub.runs.get(runId)).toMatchObject({ state: 'paused', endedMs: null });
    expect(await again.emitWithAck('events', { events: [stepped(3)] })).toEqual({ ok: true, lastSeq: 3 });
  });

  it('a run whose trainer does not come back after the hub was restarted fails', async () => {
    // A hub of its own: only a long grace period shows for sure that the run is running at first.
    const own = await TestHub.start({ trainerGraceMs: 60_000 });
    try {
      const runId = aRunId();
      await (await own.attached(runId)).emitWithAck('events', { events: [started(), stepped(2)] });
      await own.restart();
      expect(await own.hub.runs.get(runId)).toMatchObject({ state: 'running', lastSeq: 2, trainerConnected: false });
      own.config.trainerGraceMs = 100;
      await own.restart();
      const { reason } = await own.until(runId, (run) => run.state === 'failed');
      expect(reason).toMatch(/did not connect again within 0\.1 s\..*same attach as at first.*newSegment/);
    } finally {
      await own.remove();
    }
  });
});
