import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CommandRecord } from '@plumbline/shared/command';
import { toWireNumber, wallTimeSeries, type WireNumber } from '@plumbline/shared/metric';
import { recordOf } from '@plumbline/shared/record';
import { describeRun, RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import { TrainerEvent, type MetricEvent } from '@plumbline/shared/trainer-event';
import { anyEvents } from './any-event.js';
import {
  AnswerTooLargeError,
  SequenceGapError,
  StoreConflictError,
  type EventStore,
  type StoredRun,
  type Windows,
} from '../../server/store/event-store.js';
import type { StoredEvent } from '../../server/store/protocol-1.js';
import { describeModel } from '../../server/trainer/models/parameter-roles.js';
import { oddNames } from '../support/odd-names.js';
import { mixture } from '../support/real-models.js';

export const runId = RunId.parse('run-a');
export const storedRun = (id: RunId = runId, createdMs = 1000): StoredRun => ({
  runId: id,
  description: describeRun(RunConfig.parse({ name: 'contract' })),
  parent: null,
  state: 'created',
  reason: '',
  trainer: null,
  createdMs,
  startedMs: null,
  endedMs: null,
});
export const stepEvent = (seq: number, metrics: Record<string, WireNumber>, step = seq): TrainerEvent => ({
  type: 'step_completed',
  seq,
  step,
  stage: 0,
  wallTimeMs: 1_700_000_000_000 + seq,
  metrics,
});
const lossEvents = (from: number, to: number): TrainerEvent[] =>
  Array.from({ length: to - from + 1 }, (_, i) => stepEvent(from + i, { 'train/loss': 1 / (from + i) }));

/** Metrics go by name; those that are no number of JSON's, -0 among them, are told apart. The rest is JSON. */
const comparable = (event: StoredEvent): unknown => {
  if (!('metrics' in event)) return JSON.parse(JSON.stringify(event)) as unknown;
  const metrics = Object.entries(event.metrics).map(([name, value]) => [name, Object.is(value, -0) ? '-0' : value]);
  return { ...event, metrics: metrics.sort(([a], [b]) => (a! < b! ? -1 : 1)) };
};

const plain = (windows: Windows) =>
  Object.fromEntries(Object.entries(windows).map(([name, column]) => [name, [...(column as Float64Array)]]));

/** What holds for every event store. `reopen` gives a new store on the data of the one before, which is closed. */
export function eventStoreContract(
  makeStore: () => Promise<{ store: EventStore; reopen: () => Promise<EventStore> }>,
): void {
  describe('event store contract', () => {
    let store: EventStore;
    let reopen: () => Promise<EventStore>;
    beforeEach(async () => {
      ({ store, reopen } = await makeStore());
      await store.createRun(storedRun());
    });
    afterEach(() => store.close());

    const lossOf = async (maxPoints = 10_000) =>
      (await store.history(runId, { metrics: ['train/loss'], maxPoints })).series.get('train/loss')!;

    it('keeps runs, newest first, with the position their events give them', async () => {
      const later = RunId.parse('run-b');
      // Of milliseconds since 1970 the lower 32 bits go round every seven weeks.
      await store.createRun(storedRun(later, 399 * 2 ** 32 + 5));
      await store.append(later, lossEvents(1, 3));
      await store.updateRun({ ...storedRun(), state: 'failed', reason: 'why' });
      store = await reopen();
      expect((await store.runs()).map((run) => [run.runId, run.lastSeq, run.lastStep, run.state])).toEqual([
        [later, 3, 3, 'created'],
        [runId, 0, 0, 'failed'],
      ]);
      expect(await store.run(runId)).toEqual({
        ...storedRun(),
        state: 'failed',
        reason: 'why',
        lastSeq: 0,
        lastStep: 0,
      });
      expect(await store.run(RunId.parse('nowhere'))).toBeNull();
    });

    it('refuses a run id that is taken', async () => {
      await expect(store.createRun(storedRun())).rejects.toThrow(StoreConflictError);
      expect(await store.runs()).toHaveLength(1);
    });

    it('appends once however often a batch comes, across a reopening too', async () => {
      expect(await store.append(runId, lossEvents(1, 5))).toMatchObject({ lastSeq: 5 });
      const overlap = await store.append(runId, lossEvents(3, 8));
      expect(overlap.lastSeq).toBe(8);
      expect(overlap.appended.map((event) => event.seq)).toEqual([6, 7, 8]);
      store = await reopen();
      expect(await store.lastSeq(runId)).toBe(8);
      expect(await store.append(runId, lossEvents(1, 8))).toEqual({ lastSeq: 8, appended: [] });
      expect([...(await lossOf()).seqs]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    });

    it('refuses a gap, before the batch or within it, and keeps nothing of that batch', async () => {
      await store.append(runId, lossEvents(1, 2));
      await expect(store.append(runId, lossEvents(4, 5))).rejects.toMatchObject({ lastSeq: 2, gotSeq: 4 });
      await expect(store.append(runId, [...lossEvents(3, 4), ...lossEvents(6, 6)])).rejects.toThrow(SequenceGapError);
      expect(await store.lastSeq(runId)).toBe(2);
      expect((await lossOf()).seqs).toHaveLength(2);
    });

    it('keeps concurrent batches of many runs apart, and a gap in one harms no other', async () => {
      const ids = ['run-c', 'run-d', 'run-e'].map((id) => RunId.parse(id));
      await Promise.all(ids.map((id) => store.createRun(storedRun(id))));
      const answers = await Promise.allSettled([
        ...ids.map((id) => store.append(id, lossEvents(1, 50))),
        store.append(runId, lossEvents(7, 9)),
        ...ids.map((id) => store.append(id, lossEvents(51, 60))),
      ]);
      expect(answers.filter((answer) => answer.status === 'rejected')).toHaveLength(1);
      for (const id of ids) {
        const { series, lastSeq } = await store.history(id, { maxPoints: 1000 });
        expect(lastSeq).toBe(60);
        expect([...series.get('train/loss')!.steps]).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
      }
      expect(await store.lastSeq(runId)).toBe(0);
    });

    it('keeps NaN, infinities, tiny and large numbers as they are', async () => {
      await store.append(runId, [
        stepEvent(1, { 'train/loss': 'NaN' }),
        stepEvent(2, { 'train/loss': 'Infinity' }),
        stepEvent(3, { 'train/loss': '-Infinity' }),
        stepEvent(4, { 'train/loss': 5e-324 }),
        stepEvent(5, { 'train/loss': 1.7976931348623157e308 }),
        stepEvent(6, { 'train/loss': 0.1 }),
      ]);
      store = await reopen();
      expect([...(await lossOf()).values]).toEqual([NaN, Infinity, -Infinity, 5e-324, 1.7976931348623157e308, 0.1]);
    });

    it('gives the time of each step as a series', async () => {
      await store.append(runId, lossEvents(1, 2));
      await store.append(runId, [{ ...stepEvent(3, { 'shift/kl': 1 }, 2), type: 'probe_completed' } as TrainerEvent]);
      const { series } = await store.history(runId, { metrics: [wallTimeSeries], maxPoints: 100 });
      expect([...series.keys()]).toEqual([wallTimeSeries]);
      expect([...series.get(wallTimeSeries)!.values]).toEqual([1_700_000_000_001, 1_700_000_000_002]);
    });

    it('sums up series in windows of steps, whatever is not finite apart', async () => {
      await store.append(runId, [
        ...[4, 2, 6, 8].map((value, i) => stepEvent(i + 1, { 'train/loss': value }, i + 1)),
        stepEvent(5, { 'train/loss': 'NaN' }, 5),
        stepEvent(6, { 'train/loss': 1, 'shift/kl': 3 }, 11),
      ]);
      const whole = await store.windows(runId, { metrics: ['train/loss'] });
      expect(plain(whole.get('train/loss')!)).toEqual({
        ...{ fromSteps: [0], counts: [5], minima: [1], maxima: [8], means: [4.2], lasts: [1] },
      });
      const parts = await store.windows(runId, { fromStep: 2, toStep: 11, everySteps: 3 });
      expect([...parts.keys()].sort()).toEqual([wallTimeSeries, 'shift/kl', 'train/loss']);
      expect(plain(parts.get('train/loss')!)).toEqual({
        ...{ fromSteps: [2, 11], counts: [3, 1], minima: [2, 1], maxima: [8, 1], means: [16 / 3, 1], lasts: [8, 1] },
      });
      expect([...parts.get('shift/kl')!.fromSteps]).toEqual([11]);
      expect((await store.windows(RunId.parse('nowhere'), {})).size).toBe(0);
    });

    it('gives the series asked for in the range asked for; a metric that came late is complete', async () => {
      await store.append(runId, lossEvents(1, 10));
      await store.append(runId, [stepEvent(11, { 'train/loss': 0, 'held_out/colour/accuracy': 90 })]);
      const all = await store.history(runId, { maxPoints: 100 });
      expect([...all.series.keys()].sort()).toEqual(['held_out/colour/accuracy', wallTimeSeries, 'train/loss']);
      const part = await store.history(runId, {
        metrics: ['train/loss', 'no/such'],
        fromStep: 4,
        toStep: 6,
        maxPoints: 100,
      });
      expect([...part.series.keys()]).toEqual(['train/loss']);
      expect([...part.series.get('train/loss')!.steps]).toEqual([4, 5, 6]);
      expect((await store.history(runId, { metrics: [], maxPoints: 100 })).series.size).toBe(0);
    });

    it('refuses an answer of more values than it may have, and gives one that has as many', async () => {
      // Two series with the wall times: 20 and 20 points, 10 of a third.
      await store.append(runId, lossEvents(1, 10));
      await store.append(
        runId,
        Array.from({ length: 10 }, (_, i) => stepEvent(11 + i, { 'train/loss': i, 'shift/kl': i })),
      );
      const sizeOf = async (range: object): Promise<number> => {
        const { series } = await store.history(runId, { maxPoints: 100, ...range });
        return [...series.values()].reduce((sum, { seqs }) => sum + seqs.length, 0);
      };
      expect(await sizeOf({ maxValues: 50 })).toBe(50);
      expect(await sizeOf({ maxValues: 30, metrics: ['train/loss', 'shift/kl'] })).toBe(30);
      expect(await sizeOf({ maxValues: 25, fromStep: 12, toStep: 19 })).toBe(24);
      for (const range of [{ maxValues: 49 }, { maxValues: 19, metrics: ['train/loss'] }, { maxValues: 5, toStep: 3 }])
        await expect(sizeOf(range)).rejects.toThrow(AnswerTooLargeError);
      expect(await sizeOf({ maxValues: 36, maxPoints: 12 })).toBeLessThanOrEqual(36);

      const windows = async (range: object): Promise<number> =>
        [...(await store.windows(runId, range)).values()].reduce((sum, { counts }) => sum + counts.length, 0);
      expect(await windows({ maxValues: 3 })).toBe(3);
      expect(await windows({ maxValues: 10, everySteps: 5, fromStep: 1 })).toBe(10);
      await expect(windows({ maxValues: 9, everySteps: 5, fromStep: 1 })).rejects.toThrow(AnswerTooLargeError);
      await expect(windows({ maxValues: 2 })).rejects.toThrow(/more than 2 values. Ask for fewer metrics/);
    });

    it('thins a long series and loses no spike, no NaN and neither end', async () => {
      const length = 10_000;
      const value = (seq: number): WireNumber => {
        if (seq === 1234) return 99;
        if (seq === 5678) return -99;
        if (seq === 7777) return 'NaN';
        return Math.sin(seq / 50);
      };
      for (let from = 1; from <= length; from += 1000)
        await store.append(
          runId,
          Array.from({ length: 1000 }, (_, i) => stepEvent(from + i, { 'train/loss': value(from + i) })),
        );
      const { seqs, values, bucketSteps } = await lossOf(500);
      expect(bucketSteps).toBe(61);
      expect(seqs.length).toBeLessThanOrEqual(500);
      expect(seqs.length).toBeGreaterThan(200);
      expect([...seqs]).toEqual([...seqs].sort((a, b) => a - b));
      expect([seqs[0], seqs[seqs.length - 1]]).toEqual([1, length]);
      for (const seq of [1234, 5678, 7777]) expect(values[seqs.indexOf(seq)]).toEqual(Number(value(seq)));
      expect((await lossOf(length)).seqs).toHaveLength(length);
      expect((await lossOf(5)).seqs.length).toBeLessThanOrEqual(5);
    });

    it('gives the events of a run with segments in order of their number, in pages of any size', async () => {
      const segment = (seq: number, fromStep: number): TrainerEvent => ({
        ...{ type: 'segment_started', seq, step: fromStep, fromStep, wallTimeMs: 1_700_000_000_000 + seq },
      });
      // Some steps far apart, some not, and each segment over the one before.
      const steps = [1, 2, 3, 100, 200, 300, 301, 302];
      const events = [0, 1, 2].flatMap((part) => [
        ...(part > 0 ? [segment(9 * part, 2)] : []),
        ...steps.map((step, i) => stepEvent(9 * part + i + 1, { 'train/loss': part }, step + part)),
      ]);
      await store.append(runId, events);
      for (const limit of [1, 3, 7, 1000]) {
        const read: StoredEvent[] = [];
        for (let page = [events[0] as StoredEvent]; page.length > 0; read.push(...page)) {
          page = await store.events(runId, read.length + 1, limit);
          expect(page.length).toBeLessThanOrEqual(limit);
        }
        expect(read).toEqual(events);
      }
      expect(await store.events(runId, 12, 2)).toEqual(events.slice(11, 13));
    });

    it('leaves out of series and windows what later segments have superseded, and keeps the events', async () => {
      const segment = (seq: number, fromStep: number): TrainerEvent => ({
        ...{ type: 'segment_started', seq, step: fromStep, fromStep, wallTimeMs: 1_700_000_000_000 + seq },
      });
      // Steps 1 to 10; again from 6 on up to 8; again from 2 on up to 5. A value that is not finite is superseded too.
      const events = [
        ...Array.from({ length: 10 }, (_, i) =>
          stepEvent(i + 1, { 'train/loss': i === 8 ? 'NaN' : 100 + i + 1, 'shift/kl': i + 1 }, i + 1),
        ),
        segment(11, 6),
        ...[7, 8].map((step, i) => stepEvent(12 + i, { 'train/loss': 200 + step }, step)),
        segment(14, 2),
        ...[3, 4, 5].map((step, i) => stepEvent(15 + i, { 'train/loss': 300 + step }, step)),
      ];
      await store.append(runId, events);
      const segments = [
        { seq: 11, fromStep: 6 },
        { seq: 14, fromStep: 2 },
      ];
      for (const reopened of [false, true]) {
        if (reopened) store = await reopen();
        const { series } = await store.history(runId, { segments, maxPoints: 1000 });
        const loss = series.get('train/loss')!;
        expect([...loss.steps]).toEqual([1, 2, 3, 4, 5]);
        expect([...loss.values]).toEqual([101, 102, 303, 304, 305]);
        expect([...loss.seqs]).toEqual([1, 2, 15, 16, 17]);
        expect([...series.get('shift/kl')!.steps]).toEqual([1, 2]);
        expect([...series.get(wallTimeSeries)!.steps]).toEqual([1, 2, 3, 4, 5]);
        // As it was before the last segment, and thinned.
        const before = await store.history(runId, { segments: segments.slice(0, 1), maxPoints: 1000, toStep: 8 });
        expect(before.series.get('shift/kl')!.steps).toEqual(Float64Array.of(1, 2, 3, 4, 5, 6));
        const thinned = await store.history(runId, { metrics: ['train/loss'], segments, maxPoints: 5, fromStep: 1 });
        const values = [...thinned.series.get('train/loss')!.values];
        expect([values[0], values.at(-1)]).toEqual([101, 305]);
        expect(values.every((value) => [101, 102, 303, 304, 305].includes(value))).toBe(true);
        const windows = await store.windows(runId, { metrics: ['train/loss', 'shift/kl'], segments, everySteps: 100 });
        expect(plain(windows.get('train/loss')!)).toMatchObject({
          counts: [5],
          minima: [101],
          maxima: [305],
          lasts: [305],
        });
        expect(plain(windows.get('shift/kl')!)).toMatchObject({ counts: [2], maxima: [2] });
        // Exports and copies have all of it, and whoever asks for none of this.
        expect((await store.events(runId, 1, 100)).map(comparable)).toEqual(events.map(comparable));
        expect((await lossOf()).seqs).toHaveLength(15);
      }
      expect((await store.append(runId, [stepEvent(18, { 'train/loss': 306 }, 6)])).lastSeq).toBe(18);
    });

    it('stays within the bound when many points share one step', async () => {
      await store.append(
        runId,
        Array.from({ length: 900 }, (_, i) => stepEvent(i + 1, { 'train/loss': i }, 7)),
      );
      const { seqs } = await lossOf(50);
      expect([seqs[0], seqs[seqs.length - 1]]).toEqual([1, 900]);
      expect(seqs.length).toBeLessThanOrEqual(50);
    });

    it('gives back every event that a trainer may send as it was', async () => {
      let runs = 0;
      await fc.assert(
        fc.asyncProperty(anyEvents, async (events) => {
          const id = RunId.parse(`run-any-${++runs}`);
          await store.createRun(storedRun(id));
          await store.append(id, events);
          const back = await store.events(id, 1, events.length);
          expect(back.map(comparable)).toEqual(events.map(comparable));
        }),
        { seed: 11, numRuns: 40 },
      );
      store = await reopen();
      expect(await store.runs()).toHaveLength(runs + 1);
    });

    it('gives what is asked for in parts as well, and ends when whoever asked is gone', async () => {
      await store.append(runId, lossEvents(1, 30));
      await store.append(runId, [stepEvent(31, { 'shift/kl': 1 })]);
      const parts = new Map<string, number[]>();
      const take = (metric: string, { values }: { values: ArrayLike<number> }) =>
        void parts.set(metric, [...Array.from(values)]);
      expect(await store.eachSeries(runId, { maxPoints: 100 }, take)).toEqual({ lastSeq: 31 });
      const { series } = await store.history(runId, { maxPoints: 100 });
      expect(parts).toEqual(new Map([...series].map(([metric, { values }]) => [metric, [...values]])));

      const goes = new AbortController();
      let taken = 0;
      const reading = store.eachSeries(
        runId,
        { maxPoints: 100 },
        async () => {
          taken++;
          goes.abort();
          await new Promise((resolve) => setImmediate(resolve));
          goes.signal.throwIfAborted();
        },
        goes.signal,
      );
      await expect(reading).rejects.toThrow();
      expect(taken).toBe(1);
      // The store goes on.
      expect((await store.history(runId, { maxPoints: 100 })).lastSeq).toBe(31);
    });

    it('lists control events whole and in order, apart from metrics', async () => {
      const paused: TrainerEvent = { type: 'run_paused', seq: 2, step: 1, wallTimeMs: 5, reason: 'über "quoted" ✓' };
      const finished: TrainerEvent = { type: 'run_finished', seq: 4, step: 3, wallTimeMs: 6 };
      await store.append(runId, [...lossEvents(1, 1), paused, stepEvent(3, {}), finished]);
      store = await reopen();
      expect(await store.controlEvents(runId)).toEqual({ lastSeq: 4, events: [paused, finished] });
    });

    describe('whole events', () => {
      const started: TrainerEvent = {
        type: 'run_started',
        seq: 1,
        step: 0,
        wallTimeMs: 1_700_000_000_000.25,
        trainer: { backend: 'test', device: '', host: 'here', processId: 1, version: '1' },
        model: { name: 'none', groups: [], parameters: [], recipes: [] },
        baseline: { 'shift/kl': 'NaN' },
        selection: { kind: 'recipe', recipe: 'full' },
        trainable: ['b', 'a'],
      };
      const events: TrainerEvent[] = [
        started,
        stepEvent(2, { 'train/loss': 'NaN', 'train/learning_rate': 0.1, 'shift/kl': '-Infinity' }),
        stepEvent(3, {}),
        { type: 'run_paused', seq: 4, step: 3, wallTimeMs: 5, reason: 'über "quoted" \u2028 ✓\n' },
        { ...stepEvent(5, { 'shift/js': 'Infinity', 'drift/a.b-c': 5e-324 }, 3), type: 'probe_completed', stage: 7 },
        { type: 'run_finished', seq: 6, step: 3, wallTimeMs: 6 },
      ] as TrainerEvent[];

      it('come back as they were, in order, with metrics sorted by name', async () => {
        await store.append(runId, events);
        store = await reopen();
        const found = await store.events(runId, 1, 1000);
        expect(found).toEqual(events);
        expect(Object.keys((found[1] as MetricEvent).metrics)).toEqual([
          'shift/kl',
          'train/learning_rate',
          'train/loss',
        ]);
      });

      it('have metrics of any name, each a series of its own', async () => {
        const values = (seq: number): [string, WireNumber][] =>
          oddNames.map((name, i) => [name, (i + seq) % 5 === 0 ? 'NaN' : i + seq]);
        const odd = [1, 2, 3].map((seq) => stepEvent(seq, recordOf(values(seq))));
        await store.append(runId, odd);
        store = await reopen();
        const found = (await store.events(runId, 1, 1000)) as MetricEvent[];
        for (const [i, { metrics }] of found.entries())
          expect(new Map(Object.entries(metrics))).toEqual(new Map(values(i + 1)));
        const all = (await store.history(runId, { maxPoints: 100 })).series;
        expect([...all.keys()].sort()).toEqual([wallTimeSeries, ...oddNames].sort());
        const names = oddNames.filter((_, i) => i % 3 === 0);
        const few = (await store.history(runId, { metrics: names, maxPoints: 100 })).series;
        expect([...few.keys()].sort()).toEqual([...names].sort());
        for (const [name, { values: course }] of few)
          expect([...course].map(toWireNumber)).toEqual([1, 2, 3].map((seq) => new Map(values(seq)).get(name)));
        const windows = await store.windows(runId, { metrics: ['__proto__', 'constructor', 'a,b=c d\\e'] });
        expect(windows.size).toBe(3);
      });

      it('come from the number asked for, no more than asked for, and none past the last', async () => {
        await store.append(runId, events);
        expect(await store.events(runId, 3, 2)).toEqual(events.slice(2, 4));
        expect(await store.events(runId, 5, 1000)).toEqual(events.slice(4));
        expect(await store.events(runId, 7, 1000)).toEqual([]);
        expect(await store.events(RunId.parse('nowhere'), 1, 1000)).toEqual([]);
      });

      it('come in smaller pages where they are large, and all of them in the end', async () => {
        const metrics = Object.fromEntries(Array.from({ length: 1000 }, (_, i) => [`drift/group.${i}`, i]));
        const long = 'reason '.repeat(70_000);
        const large = [
          ...Array.from({ length: 120 }, (_, i) => stepEvent(i + 1, metrics)),
          ...Array.from({ length: 8 }, (_, i) => ({
            ...{ type: 'run_paused', seq: 121 + i, step: 120, wallTimeMs: 5, reason: long },
          })),
        ] as TrainerEvent[];
        await store.append(runId, large.slice(0, 60));
        await store.append(runId, large.slice(60));
        const pages: StoredEvent[][] = [];
        for (let next = 1; next <= large.length; next += pages.at(-1)!.length) {
          pages.push(await store.events(runId, next, 1000));
          expect(pages.at(-1)).not.toEqual([]);
        }
        // Values, and characters of control events, of the largest page.
        const valuesOf = (page: StoredEvent[]) => page.filter(({ type }) => type === 'step_completed').length * 1000;
        const textOf = (page: StoredEvent[]) => page.filter(({ type }) => type === 'run_paused').length * long.length;
        expect(Math.max(...pages.map(valuesOf))).toBeLessThanOrEqual(60_000);
        expect(Math.max(...pages.map(textOf))).toBeLessThanOrEqual(5 * 2 ** 20);
        expect(pages.flat().map(({ seq }) => seq)).toEqual(large.map(({ seq }) => seq));
        expect((pages[0]![0] as MetricEvent).metrics['drift/group.999']).toBe(999);
      });

      it('are those of the run asked for, whatever other runs hold under the same numbers and names', async () => {
        const other = RunId.parse('run-b');
        await store.append(runId, lossEvents(1, 3));
        await store.append(other, [stepEvent(1, { 'train/loss': 9, 'shift/kl': 1 }), stepEvent(2, {})]);
        await store.append(runId, lossEvents(4, 5));
        expect(await store.events(runId, 1, 1000)).toEqual(lossEvents(1, 5));
        expect(await store.events(other, 1, 1)).toEqual([stepEvent(1, { 'train/loss': 9, 'shift/kl': 1 })]);
      });
    });

    it('gives a start of protocol 1 back as it came, and tells readers of roles and recipes', async () => {
      const group = 'language_model.layers.3.mlp.experts.1.up_proj';
      const old = {
        ...{ type: 'run_started', seq: 1, step: 0, wallTimeMs: 5, baseline: {}, trainable: [] },
        trainer: { backend: 'test', device: '', host: 'here', processId: 1, version: '1' },
        model: { name: 'm', parameters: [{ name: `${group}.weight`, shape: [2], size: 2, group }] },
        selection: { kind: 'recipe', recipe: 'mlp_gate_up' },
      } as StoredEvent;
      await store.append(runId, [old]);
      store = await reopen();
      expect(await store.events(runId, 1, 1000)).toEqual([old]);
      const [started] = (await store.controlEvents(runId)).events;
      const texts: string[] = [];
      await store.eachControlEvents(runId, (part) => void texts.push(...part));
      expect(texts.map((text) => JSON.parse(text) as unknown)).toEqual([started]);
      expect(started).toMatchObject({
        model: {
          ...(old as { model: object }).model,
          groups: [{ name: group, part: 'language', layer: 3, block: 'mlp', projection: 'up_proj', expert: 1 }],
          recipes: [
            { name: 'full', label: 'Full', groups: [group] },
            { name: 'mlp', label: 'MLP', groups: [group] },
            { name: 'mlp_gate_up', label: 'MLP Gate & Up', groups: [group] },
            { name: 'none', label: 'None', groups: [] },
          ],
        },
      });
      expect(TrainerEvent.safeParse(started).success).toBe(true);
    });

    it('keeps a model of 18,867 parameters and the drift of each of its groups', async () => {
      const model = describeModel('a mixture of experts', mixture());
      const start = {
        ...{ type: 'run_started', seq: 1, step: 0, wallTimeMs: 5, baseline: {}, model },
        trainer: { backend: 'test', device: '', host: 'here', processId: 1, version: '1' },
        selection: { kind: 'recipe', recipe: 'full' },
        trainable: model.parameters.map(({ name }) => name),
      } as TrainerEvent;
      const drifts = Object.fromEntries(model.groups.map(({ name }, index) => [`drift/${name}`, index / 7]));
      const probe = { ...stepEvent(2, drifts, 0), type: 'probe_completed' } as TrainerEvent;
      await store.append(runId, [start]);
      await store.append(runId, [probe]);
      store = await reopen();
      // As text: a deep comparison of so much takes minutes.
      expect(JSON.stringify((await store.controlEvents(runId)).events) === JSON.stringify([start])).toBe(true);
      const { series } = await store.history(runId, { maxPoints: 5 });
      expect(series.size).toBe(model.groups.length);
      expect(series.get(`drift/${model.groups[700]!.name}`)!.values).toEqual(Float64Array.of(100));
    });

    it('keeps the latest record of each command, oldest command first', async () => {
      const record = (commandId: string, receivedMs: number, state: CommandRecord['state']): CommandRecord =>
        CommandRecord.parse({
          commandId,
          runId,
          action: { kind: 'pause' },
          author: 'dashboard',
          state,
          receivedMs,
          endedMs: null,
          step: null,
          before: null,
          after: state === 'applied' ? { state: 'paused' } : null,
          reason: '',
        });
      await store.putCommand(record('command-2', 20, 'pending'));
      await store.putCommand(record('command-1', 10, 'pending'));
      await store.putCommand(record('command-2', 20, 'applied'));
      store = await reopen();
      expect(await store.commands(runId)).toEqual([
        record('command-1', 10, 'pending'),
        record('command-2', 20, 'applied'),
      ]);
      expect(await store.command(record('command-2', 0, 'pending').commandId)).toEqual(
        record('command-2', 20, 'applied'),
      );
      expect(await store.command(record('command-9', 0, 'pending').commandId)).toBeNull();
      expect(await store.commands(RunId.parse('nowhere'))).toEqual([]);
      expect(await store.runsWithOpenCommands()).toEqual([runId]);
      await store.putCommand(record('command-1', 10, 'applied'));
      expect(await store.runsWithOpenCommands()).toEqual([]);
    });

    describe('a run that is deleted', () => {
      const other = RunId.parse('run-b');
      const commandOf = (id: RunId): CommandRecord =>
        CommandRecord.parse({
          commandId: `command-${id}`,
          runId: id,
          action: { kind: 'pause' },
          author: 'dashboard',
          state: 'pending',
          receivedMs: 10,
          endedMs: null,
          step: null,
          before: null,
          after: null,
          reason: '',
        });
      /** All that a store answers of a run. */
      const all = async (id: RunId) => ({
        run: await store.run(id),
        listed: (await store.runs()).some((run) => run.runId === id),
        lastSeq: await store.lastSeq(id),
        events: await store.events(id, 1, 1000),
        control: await store.controlEvents(id),
        history: await store.history(id, { maxPoints: 1000 }),
        windows: (await store.windows(id, {})).size,
        commands: await store.commands(id),
        command: await store.command(commandOf(id).commandId),
        isOpen: (await store.runsWithOpenCommands()).includes(id),
      });
      const nothing = {
        ...{ run: null, listed: false, lastSeq: 0, events: [], control: { lastSeq: 0, events: [] } },
        ...{ history: { lastSeq: 0, series: new Map() }, windows: 0, commands: [], command: null, isOpen: false },
      };
      const finished: TrainerEvent = { type: 'run_finished', seq: 4, step: 3, wallTimeMs: 6 };
      beforeEach(async () => {
        // The same names, numbers and times as the run that stays.
        await store.createRun(storedRun(other));
        for (const id of [runId, other]) {
          await store.append(id, [...lossEvents(1, 3), finished]);
          await store.putCommand(commandOf(id));
          await store.updateRun({ ...storedRun(id), state: 'finished' });
        }
      });

      it('is gone with all that was stored of it, at once and after a reopening, and the others are as they were', async () => {
        const before = await all(other);
        expect(before).toMatchObject({ listed: true, lastSeq: 4, windows: 2, isOpen: true });
        await store.deleteRun(runId);
        for (let opened = 1; opened <= 2; opened++) {
          expect(await all(runId)).toEqual(nothing);
          expect(await all(other)).toEqual(before);
          expect(await store.deletedRuns()).toEqual([runId]);
          store = await reopen();
        }
      });

      it('may be deleted again, and so may one that never was', async () => {
        for (const id of [runId, runId, RunId.parse('nowhere')]) await store.deleteRun(id);
        expect(await all(runId)).toEqual(nothing);
        expect(await store.deletedRuns()).toEqual([runId]);
        expect((await store.runs()).map((run) => run.runId)).toEqual([other]);
      });

      it.each([
        ['later', 5_000],
        ['as it was, by an import', 1000],
      ])('leaves its id to a run that is created %s, which has nothing of it', async (_, createdMs) => {
        await store.deleteRun(runId);
        await store.createRun(storedRun(runId, createdMs));
        await store.append(runId, [stepEvent(1, { 'train/loss': 9, 'shift/kl': 2 })]);
        for (let opened = 1; opened <= 2; opened++) {
          expect(await store.run(runId)).toMatchObject({ createdMs, state: 'created', lastSeq: 1, lastStep: 1 });
          expect(await store.events(runId, 1, 1000)).toEqual([stepEvent(1, { 'train/loss': 9, 'shift/kl': 2 })]);
          expect([...(await lossOf()).values]).toEqual([9]);
          expect(await store.commands(runId)).toEqual([]);
          expect(await store.deletedRuns()).toEqual([]);
          store = await reopen();
        }
        await store.deleteRun(runId);
        expect(await all(runId)).toEqual(nothing);
      });

      it('does not come back with what was written in the same moment', async () => {
        await Promise.all([
          store.append(other, lossEvents(1, 3)),
          store.putCommand({ ...commandOf(runId), state: 'failed', endedMs: 1, reason: 'why' }),
          store.updateRun({ ...storedRun(), state: 'failed' }),
          store.deleteRun(runId),
          store.createRun(storedRun(RunId.parse('run-c'))),
        ]);
        store = await reopen();
        expect(await all(runId)).toEqual(nothing);
        expect((await store.runs()).map((run) => run.runId).sort()).toEqual([other, 'run-c']);
      });
    });

    it('refuses work after it is closed', async () => {
      await store.close();
      await expect(store.append(runId, lossEvents(1, 1))).rejects.toThrow(/closed/);
    });
  });
}
