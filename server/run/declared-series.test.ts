import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aRunId, attachment, started, stepped, TestHub, testTimeMs, silentLink } from '../../test/support/test-hub.js';
import type { SeriesDeclaration } from '@plumbline/shared/series';

/** A real hub, which names the series of what a trainer sends by number. */
describe('values by number', () => {
  let hub: TestHub;
  beforeAll(async () => {
    hub = await TestHub.start();
  });
  afterAll(() => hub.remove());
  const declares = (seq: number, series: unknown) => ({
    ...{ type: 'series_declared' as const, seq, step: 0, wallTimeMs: testTimeMs },
    series: series as SeriesDeclaration[],
  });
  const step = (seq: number, series: number[], values: unknown[]) => ({
    ...stepped(seq),
    series,
    values: values as [],
  });
  const stored = async (runId: ReturnType<typeof aRunId>, name: string) => [
    ...((await hub.hub.runs.store.history(runId, { maxPoints: 100 })).series.get(name)?.values ?? []),
  ];

  it('are stored by name, across a restart of the hub too', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const events = [declares(1, [{ number: 3, name: 'eval/acc top-1' }]), step(2, [3], [0.5])];
    expect(await trainer.emitWithAck('events', { events })).toEqual({ ok: true, lastSeq: 2 });
    await hub.restart();
    const back = hub.trainer();
    const attach = { ...attachment(runId), acknowledgedSeq: 2 };
    expect(await back.emitWithAck('attach', attach)).toEqual({ ok: true, lastSeq: 2, nextSeries: 4 });
    expect(await back.emitWithAck('events', { events: [step(3, [3], ['NaN'])] })).toEqual({ ok: true, lastSeq: 3 });
    expect(await stored(runId, 'eval/acc top-1')).toEqual([0.5, NaN]);
  });

  it('leave out a value that is nested deeper than the stack', async () => {
    const runId = aRunId();
    const link = silentLink();
    await hub.hub.runs.attach(attachment(runId), link);
    const nested: unknown = JSON.parse('['.repeat(1_000_000) + ']'.repeat(1_000_000));
    const events = [declares(1, [{ number: 0, name: 'a' }]), step(2, [0], [nested])];
    const { lastSeq, problems } = await hub.hub.runs.append(runId, link, events);
    expect(lastSeq).toBe(2);
    expect(problems).toMatchObject([
      { seq: 2, series: 'a', problem: expect.stringMatching(/, not a list$/) as string },
    ]);
  });

  it('are taken without those that are wrong, which are named; the run says so', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const declared = declares(1, [
      { number: 0, name: 'a' },
      { number: 1, name: 'b', unit: 'x'.repeat(500), better: 'lower' },
      { number: 2, name: ' c' },
      { number: 0, name: 'd' },
      { name: 'e' },
    ]);
    const events = [declared, step(2, [0, 1, 2, 7, 0], [1, 'low', 3, 4, 5]), step(3, [1, 0], ['Infinity', null])];
    const answer = await trainer.emitWithAck('events', { events });
    expect(answer).toMatchObject({ ok: true, lastSeq: 3 });
    const problems = 'problems' in answer ? answer.problems! : [];
    expect(problems.map(({ seq, series, problem }) => `${seq} ${series} ${problem.slice(0, 60)}`)).toEqual([
      '1 b its unit: at most 20 characters; it is declared without that',
      '1  c its name: a metric name is one line of printable text, with ',
      '1 e its number: missing: a number is required; it is not declare',
      '1 d number 0 stands for a already: give this series another numb',
      '2 b a value is a number or one of the words NaN, Infinity, -Infi',
      '2 2 no series has this number: declare it with series_declared b',
      '2 7 no series has this number: declare it with series_declared b',
      '2 a it comes twice in one event: the first value counts',
      '3 a a value is a number or one of the words NaN, Infinity, -Infi',
    ]);
    expect([await stored(runId, 'a'), await stored(runId, 'b')]).toEqual([[1], [Infinity]]);
    const { refused } = await hub.hub.runs.get(runId);
    expect(refused).toMatchObject({ count: 9, message: expect.stringContaining('event 3, a: a value is') });
    // A repeat tells nothing new.
    expect(await trainer.emitWithAck('events', { events })).toEqual({ ok: true, lastSeq: 3 });
  });

  it('says on the run what batch was refused as a whole', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const events = [{ ...started(), wallTimeMs: 1.7e18 }];
    expect(await trainer.emitWithAck('events', { events })).toMatchObject({ error: { code: 'invalid' } });
    const run = await hub.until(runId, ({ refused }) => refused !== undefined);
    expect(run.refused!.message).toMatch(/event 1 \(run_started\): .*looks like nanoseconds/);
  });

  it('a batch whose events were not stored declares nothing', async () => {
    const runId = aRunId();
    const trainer = await hub.attached(runId);
    const { store } = hub.hub.runs;
    const append = store.append.bind(store);
    store.append = () => Promise.reject(new Error('The disk is full.'));
    const events = [declares(1, [{ number: 0, name: 'a' }])];
    expect(await trainer.emitWithAck('events', { events })).toMatchObject({ ok: false });
    store.append = append;
    const others = [declares(1, [{ number: 0, name: 'b' }]), step(2, [0], [1])];
    expect(await trainer.emitWithAck('events', { events: others })).toEqual({ ok: true, lastSeq: 2 });
    expect(await stored(runId, 'b')).toEqual([1]);
  });
});
