import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import type { MetricBatch } from '@plumbline/shared/socket';
import type { RunId } from '@plumbline/shared/run';
import { RunDescription } from '@plumbline/shared/run-description';
import type { LargeEventNotice } from '@plumbline/shared/large-event-notice';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { liveCharacters } from '../access/limits.js';
import { rawDashboard } from '../../test/support/raw-dashboard.js';
import {
  aCommand,
  aRunId,
  eventually,
  finished,
  started,
  stepped,
  testTimeMs,
  TestHub,
  type DashboardEnd,
} from '../../test/support/test-hub.js';

let hub: TestHub;
beforeAll(async () => {
  hub = await TestHub.start();
});
afterAll(() => hub.remove());

/** What a client was sent, in the order it came. */
function record(dashboard: DashboardEnd) {
  const messages: (
    { kind: 'metrics'; batch: MetricBatch } | { kind: 'control'; event: ControlEvent | LargeEventNotice }
  )[] = [];
  dashboard.on('metrics', (batch) => messages.push({ kind: 'metrics', batch }));
  dashboard.on('control', ({ event }) => messages.push({ kind: 'control', event }));
  const seqs = () =>
    messages.flatMap((m) => (m.kind === 'metrics' ? m.batch.events.map((event) => event.seq) : [m.event.seq]));
  return { messages, seqs };
}

describe('a dashboard', () => {
  it('gets every event above the number it was answered, once, in order, with no jump between batches', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    await trainer.emitWithAck('events', { events: [started(), stepped(2)] });
    const dashboard = hub.dashboard();
    const { messages, seqs } = record(dashboard);
    expect(await dashboard.emitWithAck('watch', { runId })).toMatchObject({ ok: true, lastSeq: 2, run: { runId } });
    const saved = { type: 'run_paused', seq: 40, step: 39, wallTimeMs: 1_700_000_000_001, reason: '' } as const;
    for (let seq = 3; seq < 40; seq++) await trainer.emitWithAck('events', { events: [stepped(seq)] });
    await trainer.emitWithAck('events', { events: [saved, stepped(41), finished(42)] });
    await eventually(() => (seqs().at(-1) === 42 ? true : null));
    const live = seqs().filter((seq) => seq > 2);
    expect(live).toEqual(Array.from({ length: 40 }, (_, i) => i + 3));
    let position: number | null = null;
    for (const message of messages) {
      if (message.kind === 'metrics') {
        if (position !== null) expect(message.batch.fromSeq).toBe(position);
        position = message.batch.toSeq;
      } else position = message.event.seq;
    }
    expect(messages.length).toBeLessThan(40);
  });

  it('is sent nothing of a run it does not watch or watches no more', async () => {
    const [watched, other] = [aRunId(), aRunId()];
    const trainers = [await hub.attached(watched), await hub.attached(other)];
    const dashboard = hub.dashboard();
    const { seqs, messages } = record(dashboard);
    await dashboard.emitWithAck('watch', { runId: watched });
    await trainers[1]!.emitWithAck('events', { events: [started(), stepped(2)] });
    await trainers[0]!.emitWithAck('events', { events: [started()] });
    await eventually(() => (messages.length > 0 ? true : null));
    dashboard.emit('unwatch', { runId: watched });
    await dashboard.emitWithAck('watch', { runId: other });
    await trainers[0]!.emitWithAck('events', { events: [finished(2)] });
    await trainers[1]!.emitWithAck('events', { events: [finished(3)] });
    await eventually(() => (messages.length > 1 ? true : null));
    expect(seqs()).toEqual([1, 3]);
  });

  it('is sent nothing where it ends its watch in the network chunk that begins it', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    await trainer.emitWithAck('events', { events: [started()] });
    const dashboard = await rawDashboard(hub.url);
    dashboard.socket.cork();
    dashboard.send(`42/dashboard,0${JSON.stringify(['watch', { runId }])}`);
    dashboard.send(`42/dashboard,${JSON.stringify(['unwatch', { runId }])}`);
    dashboard.socket.uncork();
    await eventually(() => (dashboard.text().includes('43/dashboard,0') ? true : null));
    const other = hub.dashboard();
    const { seqs } = record(other);
    await other.emitWithAck('watch', { runId });
    await trainer.emitWithAck('events', { events: [stepped(2), finished(3)] });
    await eventually(() => (seqs().at(-1) === 3 ? true : null));
    // An answer that the hub sends after all of that.
    dashboard.send(`42/dashboard,1${JSON.stringify(['watch', { runId: aRunId() }])}`);
    await eventually(() => (dashboard.text().includes('43/dashboard,1') ? true : null));
    expect(dashboard.text()).not.toMatch(/"(metrics|control)",/);
    dashboard.socket.destroy();
  });

  it('is sent the series that it watches and no others, also after it has changed them', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const [some, all] = [hub.dashboard(), hub.dashboard()];
    const [seen, whole] = [record(some), record(all)];
    const names = ['train/loss', 'train/other', 'drift/a', 'drifting'];
    await trainer.emitWithAck('events', { events: [started(1, names)] });
    expect(await all.emitWithAck('watch', { runId })).toMatchObject({ ok: true });
    expect(await some.emitWithAck('watch', { runId, series: ['train/loss', 'drift/*'] })).toMatchObject({ ok: true });
    const sent = (seq: number) => stepped(seq, Object.fromEntries(names.map((name) => [name, seq])), names);
    await trainer.emitWithAck('events', { events: [sent(2), stepped(3, { 'train/other': 3 }, names)] });
    const events = () => seen.messages.flatMap((m) => (m.kind === 'metrics' ? m.batch.events : []));
    await eventually(() => (events().length === 1 ? true : null));
    expect(events()[0]!.metrics).toEqual({ 'train/loss': 2, 'drift/a': 2 });
    // What was left out is no gap.
    const upTo = () => seen.messages.flatMap((m) => (m.kind === 'metrics' ? m.batch.toSeq : [])).at(-1);
    await eventually(() => (upTo() === 3 ? true : null));

    const answer = await some.emitWithAck('watch', { runId, series: ['train/other', 'run/wall_time_ms'] });
    expect(answer).toMatchObject({ ok: true, lastSeq: 3 });
    await trainer.emitWithAck('events', { events: [sent(4), stepped(5, { 'train/loss': 5 }, names), finished(6)] });
    await eventually(() => (seen.seqs().at(-1) === 6 ? true : null));
    expect(events().slice(1)).toMatchObject([
      { seq: 4, metrics: { 'train/other': 4 } },
      { seq: 5, metrics: {}, wallTimeMs: testTimeMs + 5 },
    ]);
    expect(Object.keys(events()[1]!.metrics)).toEqual(['train/other']);
    await eventually(() => (whole.seqs().at(-1) === 6 ? true : null));
    expect(whole.seqs()).toEqual([2, 3, 4, 5, 6]);
  });

  it('watches a bounded number of series and runs', async () => {
    const dashboard = hub.dashboard();
    const runId = aRunId();
    await hub.attached(runId);
    const series = Array.from({ length: 501 }, (_, i) => `drift/${i}`);
    expect(await dashboard.emitWithAck('watch', { runId, series })).toMatchObject({ error: { code: 'invalid' } });
    const many: RunId[] = [];
    while (many.length < 51) many.push((await hub.hub.runs.create(RunDescription.parse({ name: 'x' }), null)).runId);
    const answers = [];
    for (const [i, one] of many.entries()) {
      // As many a second as the hub takes of one connection.
      if (i % 10 === 9) await new Promise((resolve) => setTimeout(resolve, 1100));
      answers.push(await dashboard.emitWithAck('watch', { runId: one, series: ['train/loss'] }));
    }
    expect(answers.filter(({ ok }) => ok)).toHaveLength(50);
    expect(answers.at(-1)).toMatchObject({ error: { code: 'invalid', message: expect.stringContaining('50 runs') } });
    dashboard.emit('unwatch', { runId: many[0]! });
    await eventually(async () =>
      (await dashboard.emitWithAck('watch', { runId: many[50]!, series: [] })).ok ? true : null,
    );
  });

  it('watches groups of series up to a number, and no more different selections than its address may', async () => {
    const runId = aRunId();
    await hub.attached(runId);
    const dashboard = hub.dashboard();
    const groups = (count: number) => Array.from({ length: count }, (_, i) => `${i}/*`);
    expect(await dashboard.emitWithAck('watch', { runId, series: groups(20) })).toMatchObject({ ok: true });
    const tooMany = await dashboard.emitWithAck('watch', { runId, series: groups(21) });
    expect(tooMany).toMatchObject({ error: { code: 'invalid', message: expect.stringContaining('at most 20') } });

    const others = Array.from({ length: 120 }, () => hub.dashboard());
    const watch = (other: DashboardEnd, i: number) => other.emitWithAck('watch', { runId, series: [`own/${i}`] });
    const answers = await Promise.all(others.map(watch));
    const refused = answers.filter(({ ok }) => !ok);
    expect(refused.length).toBeGreaterThan(0);
    for (const answer of refused)
      expect(answer).toMatchObject({ error: { code: 'rate_limited', message: expect.stringContaining('selections') } });
    // Those who watch what somebody watches already are let in, and room comes back with those who leave.
    expect(await others.at(-1)!.emitWithAck('watch', { runId, series: ['own/0'] })).toMatchObject({ ok: true });
    for (const other of others.slice(0, 60)) other.disconnect();
    await eventually(async () => ((await watch(others[119]!, 119)).ok ? true : null));
    for (const other of others) other.disconnect();
  });

  it('hears of runs that appear and change without watching them', async () => {
    const dashboard = hub.dashboard();
    const states: string[] = [];
    await new Promise<void>((resolve) => dashboard.once('connect', resolve));
    const runId = aRunId();
    dashboard.on('run', (run) => run.runId === runId && states.push(`${run.state}/${run.trainerConnected}`));
    const trainer = await hub.attached(runId);
    await trainer.emitWithAck('events', { events: [started(), finished(2)] });
    await eventually(() => (states.at(-1) === 'finished/true' ? true : null));
    expect(states.slice(0, 2)).toEqual(['created/false', 'created/true']);
  });

  it('is told what is wrong with what it asks', async () => {
    const dashboard = hub.dashboard();
    expect(await dashboard.emitWithAck('watch', { runId: aRunId() })).toMatchObject({ error: { code: 'not_found' } });
    expect(await dashboard.emitWithAck('watch', { runId: 'No Id' as never })).toMatchObject({
      error: { code: 'invalid' },
    });
    expect(await dashboard.emitWithAck('watch', undefined as never)).toMatchObject({ error: { code: 'invalid' } });
  });
});

describe('control', () => {
  it('needs a session; without one a command is refused and leaves no trace', async () => {
    const runId = aRunId();
    await (await hub.attached(runId)).emitWithAck('events', { events: [started()] });
    const answer = await hub.dashboard().emitWithAck('command', aCommand(runId, { kind: 'pause' }));
    expect(answer).toMatchObject({
      ok: false,
      error: { code: 'forbidden', message: expect.stringContaining('plumbline -- link') },
    });
    const forged = hub.dashboard(`${hub.hub.sessions.cookieName}=${'x'.repeat(43)}`);
    expect(await forged.emitWithAck('command', aCommand(runId, { kind: 'pause' }))).toMatchObject({
      error: { code: 'forbidden' },
    });
    expect(await hub.hub.runs.store.commands(runId)).toEqual([]);
  });

  it('with a session reaches the trainer, and those who watch see how it ends', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    await trainer.emitWithAck('events', { events: [started()] });
    const received = new Promise((resolve) => trainer.once('command', resolve));
    const watcher = hub.dashboard();
    await watcher.emitWithAck('watch', { runId });
    const states: string[] = [];
    watcher.on('command', (entry) => states.push(entry.state));
    const command = aCommand(runId, { kind: 'stop' });
    const answer = await hub.dashboard(await hub.cookie()).emitWithAck('command', command);
    expect(answer).toMatchObject({ ok: true, record: { state: 'pending', author: 'dashboard' } });
    expect(await received).toEqual(command);
    await trainer.emitWithAck('events', {
      events: [{ type: 'run_stopped', seq: 2, step: 0, wallTimeMs: 1_700_000_000_001, reason: 'x' }],
    });
    await eventually(() => (states.length === 2 ? true : null));
    expect(states).toEqual(['pending', 'failed']);
  });

  it('refuses unknown runs, unknown commands and bad arguments', async () => {
    const dashboard = hub.dashboard(await hub.cookie());
    const ask = (command: unknown) => dashboard.emitWithAck('command', command as never);
    expect(await ask(aCommand(aRunId(), { kind: 'pause' }))).toMatchObject({ error: { code: 'not_found' } });
    for (const action of [
      { kind: 'explode' },
      { kind: 'set_learning_rate', learningRate: 0 },
      { kind: 'set_learning_rate', learningRate: -1 },
      { kind: 'set_learning_rate', learningRate: 'NaN' },
      { kind: 'set_trainable', selection: { kind: 'recipe', recipe: '' } },
    ])
      expect(await ask(aCommand(aRunId(), action as never))).toMatchObject({ error: { code: 'invalid' } });
  });

  it('is limited in its rate', async () => {
    const dashboard = hub.dashboard(await hub.cookie());
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => dashboard.emitWithAck('command', aCommand(aRunId(), { kind: 'pause' }))),
    );
    const codes = answers.map((answer) => (answer.ok ? 'ok' : answer.error.code));
    expect(codes.slice(0, 20)).toEqual(Array.from({ length: 20 }, () => 'not_found'));
    expect(codes).toContain('rate_limited');
  });
});

describe('a browser that does not read', () => {
  const delivered = (text: string) => [...text.matchAll(/"toSeq":(\d+)/g)].map((match) => Number(match[1]));

  it('is left out, costs no more memory, and is told from where to fetch when it reads again', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const metrics = Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`drift/group_${i}`, i / 3]));
    const names = ['train/loss', ...Object.keys(metrics)];
    await trainer.emitWithAck('events', { events: [started(1, names)] });
    const slow = await rawDashboard(hub.url);
    slow.send(`42/dashboard,0${JSON.stringify(['watch', { runId }])}`);
    await eventually(() => (slow.text().includes('43/dashboard,0') ? true : null));
    slow.socket.pause();

    // About 400 kB a batch: far more in all than the sockets' buffers and the hub's bound hold.
    let seq = 1;
    for (let batch = 0; batch < 80; batch++) {
      await trainer.emitWithAck('events', { events: Array.from({ length: 5 }, () => stepped(++seq, metrics, names)) });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    slow.socket.resume();
    const message = await eventually(() => /42\/dashboard,\["lagged",(\{[^}]*\})\]/.exec(slow.text())?.[1] ?? null);
    const lagged = JSON.parse(message) as { runId: string; lastSeq: number };
    expect(lagged.runId).toBe(runId);
    expect(lagged.lastSeq).toBeLessThan(seq);
    // What still waited to be sent when it had read everything comes live, behind the message.
    const [before] = slow.text().split('42/dashboard,["lagged"');
    expect(Math.max(...delivered(before!))).toBe(lagged.lastSeq);

    await trainer.emitWithAck('events', { events: [stepped(++seq)] });
    await eventually(() => (delivered(slow.text()).at(-1) === seq ? true : null));
    slow.socket.destroy();
  });
});

describe('many selections that hit many series', () => {
  const groups = Array.from({ length: 18_624 }, (_, i) => `drift/model.layers.${i % 48}.mlp.experts.${i}.up_proj`);
  const watchers = 40;

  it('cost the hub a bounded number of characters; who is left out is told so, and a session gets its own', async () => {
    const hub = await TestHub.start();
    onTestFinished(() => hub.remove());
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const names = ['train/loss', ...groups];
    await trainer.emitWithAck('events', { events: [started(1, names)] });
    const strangers = await Promise.all(Array.from({ length: watchers }, () => rawDashboard(hub.url)));
    for (const [i, { send }] of strangers.entries())
      send(`42/dashboard,0${JSON.stringify(['watch', { runId, series: ['drift/*', `own/${i}`] }])}`);
    await eventually(() => (strangers.every(({ text }) => text().includes('43/dashboard,0[{"ok":true')) ? true : null));
    const owner = hub.dashboard(await hub.cookie());
    const { messages } = record(owner);
    expect(await owner.emitWithAck('watch', { runId, series: ['drift/*'] })).toMatchObject({ ok: true });

    const before = strangers.reduce((sum, { text }) => sum + text().length, 0);
    const paused = { type: 'run_paused', seq: 3, step: 2, wallTimeMs: testTimeMs, reason: '' } as const;
    const values = Object.fromEntries(groups.map((name, i) => [name, i / 7]));
    await trainer.emitWithAck('events', { events: [stepped(2, values, names), paused] });
    const isTold = ({ text }: { text: () => string }) => /\["lagged"|"toSeq":2,/.test(text());
    await eventually(() => (strangers.every(isTold) ? true : null));
    const received = strangers.reduce((sum, { text }) => sum + text().length, 0) - before;
    expect(received).toBeLessThan(liveCharacters.strangers + 3_000_000);
    const leftOut = strangers.filter(({ text }) => text().includes('["lagged"'));
    expect(leftOut.length).toBeGreaterThan(watchers / 2);
    for (const { text } of leftOut) expect(text()).toContain(`"lagged",{"runId":"${runId}","lastSeq":1}`);
    expect(leftOut.length).toBeLessThan(watchers);
    await eventually(() => (messages.length === 2 ? true : null));
    expect(messages.map(({ kind }) => kind)).toEqual(['metrics', 'control']);
    const [first] = messages;
    expect(first?.kind === 'metrics' && Object.keys(first.batch.events[0]!.metrics)).toHaveLength(groups.length);

    // All are served again.
    await trainer.emitWithAck('events', { events: [stepped(4, { [groups[0]!]: 1 }, names)] });
    await eventually(() => (strangers.every(({ text }) => text().includes('"toSeq":4,')) ? true : null));
    for (const { socket } of strangers) socket.destroy();
  });
});
