import { expect, it } from 'vitest';
import { wallTimeSeries, type WireNumber } from '@plumbline/shared/metric';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { AnswerTooLargeError, ReadAbandonedError, type Windows } from '../../server/store/event-store.js';
import type { StoreUnderTest } from './store-under-test.js';
import { comparable, lossEvents, runId, stepEvent } from './stored-samples.js';

const plain = (windows: Windows) =>
  Object.fromEntries(Object.entries(windows).map(([name, column]) => [name, [...(column as Float64Array)]]));

/** Reads of series: complete, thinned, in windows, in parts. */
export function seriesContract(subject: StoreUnderTest): void {
  it('keeps NaN, infinities, tiny and large numbers as they are', async () => {
    await subject.store.append(runId, [
      stepEvent(1, { 'train/loss': 'NaN' }),
      stepEvent(2, { 'train/loss': 'Infinity' }),
      stepEvent(3, { 'train/loss': '-Infinity' }),
      stepEvent(4, { 'train/loss': 5e-324 }),
      stepEvent(5, { 'train/loss': 1.7976931348623157e308 }),
      stepEvent(6, { 'train/loss': 0.1 }),
    ]);
    await subject.reopen();
    expect([...(await subject.lossOf()).values]).toEqual([
      NaN,
      Infinity,
      -Infinity,
      5e-324,
      1.7976931348623157e308,
      0.1,
    ]);
  });

  it('gives the time of each step as a series', async () => {
    await subject.store.append(runId, lossEvents(1, 2));
    await subject.store.append(runId, [
      { ...stepEvent(3, { 'shift/kl': 1 }, 2), type: 'probe_completed' } as TrainerEvent,
    ]);
    const { series } = await subject.store.history(runId, { metrics: [wallTimeSeries], maxPoints: 100 });
    expect([...series.keys()]).toEqual([wallTimeSeries]);
    expect([...series.get(wallTimeSeries)!.values]).toEqual([1_700_000_000_001, 1_700_000_000_002]);
  });

  it('summarises series in windows of steps, without non-finite values', async () => {
    await subject.store.append(runId, [
      ...[4, 2, 6, 8].map((value, i) => stepEvent(i + 1, { 'train/loss': value }, i + 1)),
      stepEvent(5, { 'train/loss': 'NaN' }, 5),
      stepEvent(6, { 'train/loss': 1, 'shift/kl': 3 }, 11),
    ]);
    const whole = await subject.store.windows(runId, { metrics: ['train/loss'] });
    expect(plain(whole.get('train/loss')!)).toEqual({
      ...{ fromSteps: [0], counts: [5], minima: [1], maxima: [8], means: [4.2], lasts: [1] },
    });
    const parts = await subject.store.windows(runId, { fromStep: 2, toStep: 11, everySteps: 3 });
    expect([...parts.keys()].sort()).toEqual([wallTimeSeries, 'shift/kl', 'train/loss']);
    expect(plain(parts.get('train/loss')!)).toEqual({
      ...{ fromSteps: [2, 11], counts: [3, 1], minima: [2, 1], maxima: [8, 1], means: [16 / 3, 1], lasts: [8, 1] },
    });
    expect([...parts.get('shift/kl')!.fromSteps]).toEqual([11]);
    expect((await subject.store.windows(RunId.parse('nowhere'), {})).size).toBe(0);
  });

  it('returns the requested series and range; a metric that came late is complete', async () => {
    await subject.store.append(runId, lossEvents(1, 10));
    await subject.store.append(runId, [stepEvent(11, { 'train/loss': 0, 'held_out/colour/accuracy': 90 })]);
    const all = await subject.store.history(runId, { maxPoints: 100 });
    expect([...all.series.keys()].sort()).toEqual(['held_out/colour/accuracy', wallTimeSeries, 'train/loss']);
    const part = await subject.store.history(runId, {
      metrics: ['train/loss', 'no/such'],
      fromStep: 4,
      toStep: 6,
      maxPoints: 100,
    });
    expect([...part.series.keys()]).toEqual(['train/loss']);
    expect([...part.series.get('train/loss')!.steps]).toEqual([4, 5, 6]);
    expect((await subject.store.history(runId, { metrics: [], maxPoints: 100 })).series.size).toBe(0);
  });

  it('refuses an answer above the limit of values, and returns one at the limit', async () => {
    // Two series with the wall times: 20 and 20 points, 10 of a third.
    await subject.store.append(runId, lossEvents(1, 10));
    await subject.store.append(
      runId,
      Array.from({ length: 10 }, (_, i) => stepEvent(11 + i, { 'train/loss': i, 'shift/kl': i })),
    );
    const sizeOf = async (range: object): Promise<number> => {
      const { series } = await subject.store.history(runId, { maxPoints: 100, ...range });
      return [...series.values()].reduce((sum, { seqs }) => sum + seqs.length, 0);
    };
    expect(await sizeOf({ maxValues: 50 })).toBe(50);
    expect(await sizeOf({ maxValues: 30, metrics: ['train/loss', 'shift/kl'] })).toBe(30);
    expect(await sizeOf({ maxValues: 25, fromStep: 12, toStep: 19 })).toBe(24);
    for (const range of [{ maxValues: 49 }, { maxValues: 19, metrics: ['train/loss'] }, { maxValues: 5, toStep: 3 }])
      await expect(sizeOf(range)).rejects.toThrow(AnswerTooLargeError);
    expect(await sizeOf({ maxValues: 36, maxPoints: 12 })).toBeLessThanOrEqual(36);

    const windows = async (range: object): Promise<number> =>
      [...(await subject.store.windows(runId, range)).values()].reduce((sum, { counts }) => sum + counts.length, 0);
    expect(await windows({ maxValues: 3 })).toBe(3);
    expect(await windows({ maxValues: 10, everySteps: 5, fromStep: 1 })).toBe(10);
    await expect(windows({ maxValues: 9, everySteps: 5, fromStep: 1 })).rejects.toThrow(AnswerTooLargeError);
    await expect(windows({ maxValues: 2 })).rejects.toThrow(/more than 2 values. Ask for fewer metrics/);
  });

  it('thins a long series without losing a spike, a NaN, an overflow or an end', async () => {
    const length = 10_000;
    const value = (seq: number): WireNumber => {
      if (seq === 1234) return 99;
      if (seq === 5678) return -99;
      if (seq === 7777) return 'NaN';
      // What stands for an overflow, beside each spike.
      if (seq === 1230) return Number.MAX_VALUE;
      if (seq === 5675) return -Number.MAX_VALUE;
      return Math.sin(seq / 50);
    };
    for (let from = 1; from <= length; from += 1000)
      await subject.store.append(
        runId,
        Array.from({ length: 1000 }, (_, i) => stepEvent(from + i, { 'train/loss': value(from + i) })),
      );
    const { seqs, values, bucketSteps } = await subject.lossOf(500);
    expect(bucketSteps).toBe(61);
    expect(seqs.length).toBeLessThanOrEqual(500);
    expect(seqs.length).toBeGreaterThan(200);
    expect([...seqs]).toEqual([...seqs].sort((a, b) => a - b));
    expect([seqs[0], seqs[seqs.length - 1]]).toEqual([1, length]);
    for (const seq of [1230, 1234, 5675, 5678, 7777]) expect(values[seqs.indexOf(seq)]).toEqual(Number(value(seq)));
    expect((await subject.lossOf(length)).seqs).toHaveLength(length);
    expect((await subject.lossOf(5)).seqs.length).toBeLessThanOrEqual(5);
    const windows = await subject.store.windows(runId, { metrics: ['train/loss'] });
    expect(plain(windows.get('train/loss')!)).toMatchObject({ counts: [length - 3], minima: [-99], maxima: [99] });
    expect(Math.abs(windows.get('train/loss')!.means[0]!)).toBeLessThan(1);
  });

  it('leaves superseded values out of series and windows, and keeps their events', async () => {
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
    await subject.store.append(runId, events);
    const segments = [
      { seq: 11, fromStep: 6 },
      { seq: 14, fromStep: 2 },
    ];
    for (const reopened of [false, true]) {
      if (reopened) await subject.reopen();
      const { series } = await subject.store.history(runId, { segments, maxPoints: 1000 });
      const loss = series.get('train/loss')!;
      expect([...loss.steps]).toEqual([1, 2, 3, 4, 5]);
      expect([...loss.values]).toEqual([101, 102, 303, 304, 305]);
      expect([...loss.seqs]).toEqual([1, 2, 15, 16, 17]);
      expect([...series.get('shift/kl')!.steps]).toEqual([1, 2]);
      expect([...series.get(wallTimeSeries)!.steps]).toEqual([1, 2, 3, 4, 5]);
      // As it was before the last segment, and thinned.
      const before = await subject.store.history(runId, { segments: segments.slice(0, 1), maxPoints: 1000, toStep: 8 });
      expect(before.series.get('shift/kl')!.steps).toEqual(Float64Array.of(1, 2, 3, 4, 5, 6));
      const thinned = await subject.store.history(runId, {
        metrics: ['train/loss'],
        segments,
        maxPoints: 5,
        fromStep: 1,
      });
      const values = [...thinned.series.get('train/loss')!.values];
      expect([values[0], values.at(-1)]).toEqual([101, 305]);
      expect(values.every((value) => [101, 102, 303, 304, 305].includes(value))).toBe(true);
      const { lastSeq, points } = await subject.store.lastPoints(runId, { segments });
      expect(lastSeq).toBe(17);
      expect(points.get('train/loss')).toEqual({ seq: 17, step: 5, value: 305 });
      expect(points.get('shift/kl')).toEqual({ seq: 2, step: 2, value: 2 });
      const windows = await subject.store.windows(runId, {
        metrics: ['train/loss', 'shift/kl'],
        segments,
        everySteps: 100,
      });
      expect(plain(windows.get('train/loss')!)).toMatchObject({
        counts: [5],
        minima: [101],
        maxima: [305],
        lasts: [305],
      });
      expect(plain(windows.get('shift/kl')!)).toMatchObject({ counts: [2], maxima: [2] });
      // Exports, copies and reads without segments have everything.
      expect((await subject.store.events(runId, 1, 100)).map(comparable)).toEqual(events.map(comparable));
      expect((await subject.lossOf()).seqs).toHaveLength(15);
    }
    expect((await subject.store.append(runId, [stepEvent(18, { 'train/loss': 306 }, 6)])).lastSeq).toBe(18);
  });

  it('returns the last point of each series, however far back it is and whatever its value', async () => {
    const length = 6000;
    for (let from = 1; from <= length; from += 1000)
      await subject.store.append(
        runId,
        Array.from({ length: 1000 }, (_, i): TrainerEvent => {
          const seq = from + i;
          return stepEvent(seq, {
            'train/loss': seq === length ? 'NaN' : seq,
            ...(seq === 3 && { 'once/early': 7, constructor: 8 }),
            ...(seq === 1500 && { 'went/odd': '-Infinity' }),
            ...(seq === 1000 && { 'went/odd': 5 }),
          });
        }),
      );
    const expected = new Map([
      ['train/loss', { seq: length, step: length, value: NaN }],
      ['once/early', { seq: 3, step: 3, value: 7 }],
      ['constructor', { seq: 3, step: 3, value: 8 }],
      ['went/odd', { seq: 1500, step: 1500, value: -Infinity }],
      [wallTimeSeries, { seq: length, step: length, value: 1_700_000_000_000 + length }],
    ]);
    const { lastSeq, points } = await subject.store.lastPoints(runId);
    expect(lastSeq).toBe(length);
    expect(points).toEqual(expected);
    const some = await subject.store.lastPoints(runId, { metrics: ['once/early', 'no/such'] });
    expect([...some.points]).toEqual([['once/early', expected.get('once/early')]]);
    expect((await subject.store.lastPoints(runId, { metrics: [] })).points.size).toBe(0);
    expect(await subject.store.lastPoints(RunId.parse('nowhere'))).toEqual({ lastSeq: 0, points: new Map() });
    await expect(subject.store.lastPoints(runId, {}, AbortSignal.abort(new Error('gone')))).rejects.toThrow();
  });

  it('stays within the bound when many points share one step', async () => {
    await subject.store.append(
      runId,
      Array.from({ length: 900 }, (_, i) => stepEvent(i + 1, { 'train/loss': i }, 7)),
    );
    const { seqs } = await subject.lossOf(50);
    expect([seqs[0], seqs[seqs.length - 1]]).toEqual([1, 900]);
    expect(seqs.length).toBeLessThanOrEqual(50);
  });

  it('returns the same series in parts, and ends when the reader is gone', async () => {
    await subject.store.append(runId, lossEvents(1, 30));
    await subject.store.append(runId, [stepEvent(31, { 'shift/kl': 1 })]);
    const parts = new Map<string, number[]>();
    const take = (metric: string, { values }: { values: ArrayLike<number> }) =>
      void parts.set(metric, [...Array.from(values)]);
    expect(await subject.store.eachSeries(runId, { maxPoints: 100 }, take)).toEqual({ lastSeq: 31 });
    const { series } = await subject.store.history(runId, { maxPoints: 100 });
    expect(parts).toEqual(new Map([...series].map(([metric, { values }]) => [metric, [...values]])));

    const goes = new AbortController();
    let taken = 0;
    const reading = subject.store.eachSeries(
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
    await expect(subject.store.history(runId, { maxPoints: 100 }, goes.signal)).rejects.toThrow(ReadAbandonedError);
    await expect(subject.store.windows(runId, {}, goes.signal)).rejects.toThrow(ReadAbandonedError);
    // The store still works.
    expect((await subject.store.history(runId, { maxPoints: 100 })).lastSeq).toBe(31);
  });
}
