import { mkdirSync, mkdtempSync, readFileSync, rmdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { CommandRecord } from '@plumbline/shared/command';
import type { ReadinessResponse } from '@plumbline/shared/http';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { StoreUnavailableError, type SharedStore } from '../../server/store/event-store.js';
import { InfluxStore } from '../../server/store/influx-store.js';
import { SpoolFullError } from '../../server/store/spool.js';
import { storedRun, stepEvent } from '../contract/stored-samples.js';
import { writeUnsentEvents } from '../../server/trainer/unsent-events.js';
import { handInEvents, unsentEventsOf } from '../../server/transfer/unsent-events.js';
import { InfluxServer } from '../support/influx-server.js';
import { aRunId, asStored, eventually, started, stepped, TestHub, testTimeMs } from '../support/test-hub.js';
import { UnreliableInflux, type Trouble } from '../support/unreliable-influx.js';
import { storedControlEvents } from '../support/stored-control-events.js';

/*
 * A real InfluxDB behind a misbehaving proxy. In every case, appended events are in InfluxDB afterwards, once and in
 * order; appending continues meanwhile; and the store reports the problem with a helpful message.
 */
const folder = mkdtempSync(join(tmpdir(), 'plumbline-influx-trouble-'));
let server: InfluxServer;
let door: UnreliableInflux;
let store: InfluxStore;
let bucket: string;
let said: string[];
let mended: string[];
let stores = 0;
const runId = RunId.parse('run-trouble');

beforeAll(async () => {
  server = await InfluxServer.start();
});
afterAll(async () => {
  await server.remove();
  rmSync(folder, { recursive: true });
});
const spoolFolder = (): string => join(folder, `${stores}`);
function openStore({ timeoutMs = 10_000, maxSpoolBytes }: { timeoutMs?: number; maxSpoolBytes?: number } = {}) {
  store = new InfluxStore({
    ...{ url: door.url, org: server.org, token: server.token, bucket, spoolFolder: spoolFolder(), timeoutMs },
    ...(maxSpoolBytes !== undefined && { maxSpoolBytes }),
    onProblem: (message) => said.push(message),
    onMended: (message) => mended.push(message),
  });
}
beforeEach(async () => {
  stores++;
  said = [];
  mended = [];
  bucket = await server.bucket();
  door = await UnreliableInflux.before(server.url);
  openStore();
  await store.createRun(storedRun());
  await store.createRun(storedRun(runId));
});
afterEach(async () => {
  await store.close();
  await door.close();
});

function gate(): { opened: Promise<void>; open: () => void } {
  let open = (): void => undefined;
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}
/** Matches the query for a run's last event number. */
const seqQuery = /_field == .{1,2}seq/;

const lossOf = (seq: number): number => Math.sin(seq);
const manyMetrics = (count: number): Record<string, number> =>
  Object.fromEntries(Array.from({ length: count }, (_, i) => [`drift/group.${i}`, i / 7]));
const events = (from: number, to: number): TrainerEvent[] =>
  Array.from({ length: to - from + 1 }, (_, i) => stepEvent(from + i, { 'train/loss': lossOf(from + i) }));
/** Appends event by event, like a trainer. */
async function append(from: number, to: number): Promise<void> {
  for (let seq = from; seq <= to; seq++) await store.append(runId, events(seq, seq));
}
const problem = (): Promise<string> => eventually(async () => (await store.spoolState()).problem);

/** Checks, without the proxy, that all events are in InfluxDB, once and in order. */
async function expectStored(last: number): Promise<void> {
  expect(await store.drained(20_000)).toBe(true);
  expect((await store.spoolState()).problem).toBeNull();
  const anew = new InfluxStore({
    ...{ url: server.url, org: server.org, token: server.token, bucket, spoolFolder: join(folder, `${stores}-anew`) },
  });
  const { lastSeq, series } = await anew.history(runId, { metrics: ['train/loss'], maxPoints: 1_000_000 });
  expect(lastSeq).toBe(last);
  const { seqs, values } = series.get('train/loss')!;
  expect([...seqs]).toEqual(Array.from({ length: last }, (_, i) => i + 1));
  expect([...values]).toEqual(Array.from({ length: last }, (_, i) => lossOf(i + 1)));
  await anew.close();
  const firstTimes = [...new Set(door.takenSeqs)];
  expect(firstTimes).toEqual(firstTimes.toSorted((a, b) => a - b));
}

const json = (status: number, message: string, headers = {}): Trouble => ({
  ...{ kind: 'answer', status, headers: { 'content-type': 'application/json', ...headers } },
  body: JSON.stringify({ code: 'trouble', message }),
});

describe('writes that InfluxDB refuses for a while', () => {
  it.each<[string, Trouble, RegExp]>([
    [
      'it refuses the token',
      { kind: 'changed', headers: { authorization: 'Token wrong' } },
      /refuses the token.*plumbline -- influx-setup.*PLUMBLINE_INFLUX_TOKEN.*401/s,
    ],
    [
      'the bucket is missing',
      { kind: 'changed', path: (path) => path.replace(/bucket=[^&]*/, 'bucket=nowhere') },
      /bucket "bucket-\d+".*plumbline -- influx-setup.*404/s,
    ],
    ['it has an internal error', json(500, 'internal error'), /internal fault.*500 internal error/s],
    ['it is overloaded', json(503, 'overloaded'), /internal fault.*503/s],
    [
      'a proxy answers 200 with a page',
      { kind: 'answer', status: 200, headers: { 'content-type': 'text/html' }, body: '<h1>Sign in</h1>' },
      /PLUMBLINE_INFLUX_URL.*200, not 204/s,
    ],
    ['the connection breaks during the request', { kind: 'reset' }, /does not answer.*PLUMBLINE_INFLUX_URL/s],
    ['the connection breaks before the answer', { kind: 'answer_lost' }, /does not answer.*PLUMBLINE_INFLUX_URL/s],
  ])('%s', async (_name, trouble, words) => {
    await append(1, 5);
    door.trouble.write = trouble;
    await append(6, 40);
    expect(await problem()).toMatch(words);
    expect(await problem()).toContain(door.url);
    // Steering continues too, and reads return the last number.
    expect(await store.lastSeq(runId)).toBe(40);
    expect((await store.history(runId, { maxPoints: 100 })).lastSeq).toBeLessThan(40);
    door.trouble.write = null;
    await append(41, 50);
    await expectStored(50);
    // Logged once at start and end, for any number of attempts.
    expect(said).toEqual([expect.stringMatching(words)]);
    expect(mended).toEqual(['The data that waits on disk goes to InfluxDB again.']);
  });

  it('no answer comes until the store times out', async () => {
    await store.close();
    openStore({ timeoutMs: 300 });
    await append(1, 5);
    door.trouble.write = { kind: 'silence' };
    await append(6, 20);
    expect(await problem()).toMatch(/does not answer.*PLUMBLINE_INFLUX_URL.*no answer within 0\.3 s/s);
    door.trouble.write = null;
    await append(21, 30);
    await expectStored(30);
  });

  it.each<[string, () => string]>([
    ['in seconds', () => '1'],
    ['as a date', () => new Date(Date.now() + 2000).toUTCString()],
  ])('it asks for a pause, %s, and is not retried earlier', async (_name, retryAfter) => {
    await append(1, 5);
    expect(await store.drained(10_000)).toBe(true);
    const header = retryAfter();
    const untilMs = /^\d+$/.test(header) ? Date.now() + 1000 * Number(header) : Date.parse(header);
    door.writesAtMs = [];
    door.trouble.write = json(429, 'slow down', { 'retry-after': header });
    await append(6, 20);
    expect(await problem()).toMatch(/fewer requests.*429 slow down/s);
    door.trouble.write = null;
    await expectStored(20);
    const [first, second] = door.writesAtMs;
    expect(first).toBeLessThan(untilMs);
    // Timers count in whole milliseconds.
    expect(second).toBeGreaterThanOrEqual(untilMs - 2);
  });

  it('takes only small requests', async () => {
    door.trouble.write = { kind: 'answer', status: 503 };
    await append(1, 200);
    door.trouble.write = { kind: 'too_large', bytes: 2000 };
    await append(201, 210);
    await expectStored(210);
    expect(said).toEqual([expect.stringMatching(/waits on disk.*503/s)]);
  });
});

describe('lines that InfluxDB never accepts', () => {
  const spoil = (measurement: string): Promise<Response> =>
    fetch(`${server.url}/api/v2/write?org=${server.org}&bucket=${bucket}`, {
      method: 'POST',
      headers: { authorization: `Token ${server.token}` },
      body: `${measurement},run=other kl="a word" 1`,
    });
  const setAside = (): { line: string; problem: string }[] =>
    readFileSync(join(spoolFolder(), 'refused-lines.jsonl'), 'utf8')
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { line: string; problem: string });

  it('are set aside and reported, and everything around them is stored', async () => {
    // The field is already a string in this bucket: a number conflicts with its type.
    expect((await spoil('shift')).status).toBe(204);
    door.trouble.write = { kind: 'answer', status: 503 };
    await append(1, 49);
    await store.append(runId, [stepEvent(50, { 'train/loss': lossOf(50), 'shift/kl': 0.5 })]);
    await append(51, 100);
    door.trouble.write = null;
    await expectStored(100);
    expect(said).toEqual([
      expect.stringMatching(/waits on disk.*503/s),
      expect.stringMatching(/refuses 1 line.*refused-lines\.jsonl.*field type conflict/s),
    ]);
    expect(setAside()).toEqual([
      expect.objectContaining({ line: expect.stringMatching(/^shift,run=run-trouble kl=0\.5 /) }),
    ]);
  });

  it('wait, with all later lines, while they cannot be set aside', async () => {
    expect((await spoil('shift')).status).toBe(204);
    const path = join(spoolFolder(), 'refused-lines.jsonl');
    // A folder in place of the file: root may write anywhere, so permissions would not help.
    mkdirSync(path);
    await append(1, 9);
    await store.append(runId, [stepEvent(10, { 'train/loss': lossOf(10), 'shift/kl': 0.5 })]);
    expect(await problem()).toMatch(/refuses 1 line.*cannot be set aside in .*refused-lines\.jsonl.*EISDIR.*writable/s);
    const { retries } = await store.spoolState();
    await eventually(async () => ((await store.spoolState()).retries > retries + 1 ? true : null));
    await append(11, 20);
    expect(await store.lastSeq(runId)).toBe(20);
    rmdirSync(path);
    await expectStored(20);
    expect(setAside()).toHaveLength(1);
    expect(said).toEqual([
      expect.stringMatching(/cannot be set aside/),
      expect.stringMatching(/refuses 1 line.*now in .*refused-lines\.jsonl/s),
    ]);
    expect(mended).toHaveLength(1);
  });

  it('are set aside together if there are many', async () => {
    expect((await spoil('shift')).status).toBe(204);
    door.trouble.write = { kind: 'answer', status: 503 };
    for (let seq = 1; seq <= 300; seq++)
      await store.append(runId, [stepEvent(seq, { 'train/loss': lossOf(seq), 'shift/kl': seq })]);
    door.trouble.write = null;
    door.writesAtMs = [];
    await expectStored(300);
    expect(setAside().map(({ line }) => Number(/kl=(\d+)/.exec(line)![1]))).toEqual(
      events(1, 300).map(({ seq }) => seq),
    );
    // One request per line would block later lines for minutes.
    expect(door.writesAtMs.length).toBeLessThan(100);
    expect(said.length).toBeLessThan(50);
  });
});

describe('reads', () => {
  it('fail instead of returning a part', async () => {
    await append(1, 200);
    expect(await store.drained(10_000)).toBe(true);
    door.trouble.query = { kind: 'half_answer' };
    for (const read of [
      () => store.history(runId, { maxPoints: 1000 }),
      () => store.windows(runId, { everySteps: 10 }),
      () => storedControlEvents(store, runId),
      () => store.runs(),
      () => store.commands(runId),
    ]) {
      const error = await read().then(
        () => null,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(StoreUnavailableError);
      expect((error as Error).message).toMatch(/InfluxDB at http.*does not answer/s);
    }
    door.trouble.query = { kind: 'changed', headers: { authorization: 'Token wrong' } };
    await expect(store.history(runId, { maxPoints: 10 })).rejects.toThrow(/refuses the token.*influx-setup/s);
    door.trouble.query = null;
    await expectStored(200);
  });
});

describe('a run that comes back to a hub', () => {
  it('continues after the position that its trainer had elsewhere, though this hub has not yet delivered its earlier events', async () => {
    door.trouble.write = { kind: 'answer', status: 503 };
    await append(1, 3);
    store.letGo(runId);
    expect(await store.takeUp(runId, 9)).toEqual({ lastSeq: 9, lastStep: 3 });
    expect((await store.append(runId, events(9, 11))).lastSeq).toBe(11);
  });
});

describe('events that a store left behind and InfluxDB stores while it answers', () => {
  const pending = CommandRecord.parse({
    ...{ commandId: 'command-1', runId, action: { kind: 'pause' }, author: 'dashboard', state: 'pending' },
    ...{ receivedMs: 1000, endedMs: null, step: null, before: null, after: null, reason: '' },
  });
  const late = RunId.parse('run-late');

  it.each<[string, RegExp, () => Promise<unknown>, unknown]>([
    ['a run', /plumbline\.run/, async () => (await store.runs()).some((run) => run.runId === late), true],
    ['the last number of a run', seqQuery, () => store.lastSeq(runId), 3],
    ['commands of a run', /plumbline\.command/, () => store.commands(runId), [pending]],
    ['one command', /plumbline\.command/, () => store.command(pending.commandId), pending],
  ])('are not missed: %s', async (_what, query, read, expected) => {
    expect(await store.drained(20_000)).toBe(true);
    door.trouble.write = { kind: 'answer', status: 503 };
    await append(1, 3);
    await store.putCommand(pending);
    await store.createRun(storedRun(late));
    await store.close();

    const [delivery, answer, answered] = [gate(), gate(), gate()];
    door.trouble.write = { kind: 'late', until: delivery.opened };
    door.trouble.query = { kind: 'answer_late', of: query, onAnswer: answered.open, until: answer.opened };
    openStore();
    const reading = read();
    await answered.opened;
    delivery.open();
    expect(await store.drained(20_000)).toBe(true);
    answer.open();
    expect(await reading).toEqual(expected);
  });
});

describe('events that a trainer left in a file', () => {
  it('are neither appended nor reported as different while InfluxDB lacks the events to compare with', async () => {
    const steps = (from: number, to: number) =>
      Array.from({ length: to - from + 1 }, (_, i) => stepped(from + i, { 'train/loss': lossOf(from + i) }));
    const last = { type: 'run_finished', seq: 40, step: 39, wallTimeMs: testTimeMs + 40 } as const;
    const [again, behind] = [join(folder, 'again.jsonl'), join(folder, 'behind.jsonl')];
    await writeUnsentEvents(again, runId, [...steps(38, 39), last]);
    await writeUnsentEvents(behind, runId, steps(41, 42));
    const header = (await unsentEventsOf(again))!;
    await store.append(runId, [started(), ...steps(2, 5).map(asStored)]);
    expect(await store.drained(10_000)).toBe(true);
    door.trouble.write = json(503, 'overloaded');
    for (const step of steps(6, 39)) await store.append(runId, [asStored(step)]);
    await store.append(runId, [last]);
    for (const path of [again, behind])
      await expect(handInEvents(path, header, store)).rejects.toThrow(
        /cannot be read up to event 40 of run-trouble yet.*Start InfluxDB/,
      );
    expect(await store.lastSeq(runId)).toBe(40);
    door.trouble.write = null;
    expect(await store.drained(10_000)).toBe(true);
    expect(await handInEvents(again, header, store)).toEqual({ appended: 0, lastSeq: 40 });
    await expect(handInEvents(behind, header, store)).rejects.toThrow(/another trainer took it up/);
  });
});

describe('InfluxDB killed', () => {
  it('that restarts while more than 100,000 values are appended has them all', async () => {
    await append(1, 3);
    await server.kill();
    const names = Array.from({ length: 99 }, (_, i) => `drift/group.${i}`);
    const last = 1100;
    for (let from = 4; from <= last; from += 100)
      await store.append(
        runId,
        events(from, Math.min(last, from + 99)).map((event) => ({
          ...event,
          metrics: {
            'train/loss': lossOf(event.seq),
            ...Object.fromEntries(names.map((name, i) => [name, event.seq + i / 100])),
          },
        })) as TrainerEvent[],
      );
    expect(await problem()).toMatch(/does not answer.*Start it/s);
    expect((await store.spoolState()).depth).toBeGreaterThan(5);
    await server.launch();
    await expectStored(last);
    const windows = await store.windows(runId, {});
    for (const [i, name] of names.entries()) {
      const { counts, minima, maxima } = windows.get(name)!;
      expect([counts[0], minima[0], maxima[0]]).toEqual([last - 3, 4 + i / 100, last + i / 100]);
    }
  });

  it('and a store that opens another one’s spool meanwhile delivers it when InfluxDB is back', async () => {
    await append(1, 30);
    expect(await store.drained(10_000)).toBe(true);
    await server.kill();
    await append(31, 60);
    await store.close();
    openStore();
    expect(await problem()).toMatch(/does not answer/);
    await server.launch();
    await append(61, 70);
    await expectStored(70);
  });
});

describe('a hub whose InfluxDB accepts nothing', () => {
  it('stays ready, reports the problem, logs its start and end once, and is not ready when the spool is full', async () => {
    const { url, org, token } = { url: door.url, org: server.org, token: server.token };
    const hub = await TestHub.start({
      ...{ store: { kind: 'influx', url, org, bucket, token, maxSpoolBytes: 300_000 }, logLevel: 'warn' },
    });
    const ready = async () => {
      const answer = await fetch(`${hub.url}/readyz`);
      return { status: answer.status, ...((await answer.json()) as ReadinessResponse) };
    };
    expect(await ready()).toEqual({ status: 200, ready: true, problems: [] });
    const id = aRunId();
    const trainer = await hub.attached(id);
    door.trouble.write = { kind: 'answer', status: 503 };
    const metrics = manyMetrics(500);
    const names = ['train/loss', ...Object.keys(metrics)];
    expect(await trainer.emitWithAck('events', { events: [started(1, names)] })).toMatchObject({ ok: true });
    const told = await eventually(async () => {
      const answer = await ready();
      return answer.problems.length > 0 ? answer : null;
    });
    const outage = { code: 'store_failed', retry: true, message: expect.stringMatching(/InfluxDB at .*503/s) };
    expect(told).toEqual({ status: 200, ready: true, problems: [outage] });

    const full = await eventually(async () => {
      const { lastSeq } = await hub.hub.runs.get(id);
      const answer = await trainer.emitWithAck('events', { events: [stepped(lastSeq + 1, metrics, names)] });
      return answer.ok ? null : answer.error;
    });
    expect(full.message).toMatch(/is full/);
    expect(await ready()).toEqual({ status: 503, ready: false, problems: [full, outage] });

    door.trouble.write = null;
    await eventually(async () => ((await (hub.hub.runs.store as SharedStore).spoolState()).depth === 0 ? true : null));
    const { lastSeq } = await hub.hub.runs.get(id);
    expect(await trainer.emitWithAck('events', { events: [stepped(lastSeq + 1)] })).toMatchObject({ ok: true });
    expect(await ready()).toEqual({ status: 200, ready: true, problems: [] });
    const about = hub.logged.filter(({ msg }) => /waits on disk/.test(msg)).map(({ level, msg }) => [level, msg]);
    expect(about).toEqual([
      [50, expect.stringMatching(/New data waits on disk.*503/s)],
      [40, 'The data that waits on disk goes to InfluxDB again.'],
    ]);
    await hub.remove();
  });
});

describe('a full spool', () => {
  const padded = (seq: number): TrainerEvent =>
    stepEvent(seq, {
      'train/loss': lossOf(seq),
      ...manyMetrics(200),
    });

  it('refuses with a reason, keeps its events, and accepts more once there is room', async () => {
    await store.close();
    openStore({ maxSpoolBytes: 300_000 });
    for (let round = 0, seq = 1; round < 3; round++) {
      door.trouble.write = { kind: 'answer', status: 503 };
      const full = await (async () => {
        for (; seq < 1000; seq++)
          try {
            await store.append(runId, [padded(seq)]);
          } catch (error) {
            return error as Error;
          }
      })();
      expect(full).toBeInstanceOf(SpoolFullError);
      expect(full!.message).toMatch(/is full.*Trainers wait.*PLUMBLINE_SPOOL_MAX_MB/s);
      expect(await store.lastSeq(runId)).toBe(seq - 1);
      door.trouble.write = null;
      await expectStored(seq - 1);
    }
  });

  it('is a store error for the trainer, which retries', async () => {
    const { url, org, token } = { url: door.url, org: server.org, token: server.token };
    const hub = await TestHub.start({ store: { kind: 'influx', url, org, bucket, token, maxSpoolBytes: 300_000 } });
    const id = aRunId();
    const trainer = await hub.attached(id);
    door.trouble.write = { kind: 'answer', status: 503 };
    const metrics = manyMetrics(500);
    const names = Object.keys(metrics);
    let [acknowledged, refused] = [0, null as unknown];
    for (let seq = 1; refused === null && seq < 500; seq++) {
      const answer = await trainer.emitWithAck('events', {
        events: [seq === 1 ? started(1, names) : stepped(seq, metrics, names)],
      });
      if (answer.ok) acknowledged = answer.lastSeq;
      else refused = answer.error;
    }
    expect(refused).toMatchObject({ code: 'store_failed', message: expect.stringMatching(/is full/) });
    door.trouble.write = null;
    const again = { events: [1, 2].map((more) => stepped(acknowledged + more, metrics, names)) };
    const answer = await eventually(async () => {
      const attempt = await trainer.emitWithAck('events', again);
      return attempt.ok ? attempt : null;
    });
    expect(answer).toEqual({ ok: true, lastSeq: acknowledged + 2 });
    const history = await eventually(async () => {
      const found = await hub.hub.runs.store.history(id, { metrics: ['drift/group.3'], maxPoints: 10_000 });
      return found.lastSeq === acknowledged + 2 ? found : null;
    });
    expect(history.series.get('drift/group.3')!.seqs).toHaveLength(acknowledged + 1);
    await hub.remove();
  });
});
