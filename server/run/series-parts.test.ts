import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { RunId, Segment } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { aRunId, asStored, started, testTimeMs } from '../../test/support/test-hub.js';
import { EmbeddedStore } from '../store/embedded-store.js';
import { everyPoint, ReadAbandonedError, type EventStore, type Series } from '../store/event-store.js';
import { eachPart, type PartsOptions, type WholeSeries } from './series-parts.js';

let folder: string;
let store: EmbeddedStore;
let runId: RunId;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'plumbline-parts-'));
  store = new EmbeddedStore(join(folder, 'plumbline.duckdb'));
  runId = aRunId();
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true });
});

const metrics = ['train/loss', 'shift/kl', 'no/such'];
const at = (seq: number, step: number): TrainerEvent => ({
  ...{ type: 'step_completed', seq, step, stage: 0, wallTimeMs: testTimeMs },
  metrics: { 'train/loss': seq % 10 === 3 ? 'NaN' : seq, ...(seq % 3 === 0 && { 'shift/kl': -seq }), other: 1 },
});
const segment = (seq: number, fromStep: number): TrainerEvent => ({
  ...{ type: 'segment_started', seq, step: fromStep, fromStep, wallTimeMs: testTimeMs },
});
const first = asStored(started());

/** Steps 1 to 300, of which step 50 has 40 events; again from 100 to 120, and from 20 to 60. */
async function aRunWithSegments(): Promise<{ lastStep: number; segments: Segment[] }> {
  const steps = Array.from({ length: 339 }, (_, i) => (i < 50 ? i + 1 : i < 89 ? 50 : i - 38));
  const events = [
    ...steps.map((step, i) => at(i + 2, step)),
    segment(341, 100),
    ...Array.from({ length: 20 }, (_, i) => at(342 + i, 101 + i)),
    segment(362, 20),
    ...Array.from({ length: 40 }, (_, i) => at(363 + i, 21 + i)),
  ];
  await store.append(runId, [first, ...events]);
  return {
    lastStep: 60,
    segments: [
      { seq: 341, fromStep: 100 },
      { seq: 362, fromStep: 20 },
    ],
  };
}
/** The points of a series in order: event number, step, value. */
const pointsOf = ({ seqs, steps, values }: Series): string[] =>
  [...seqs].map((seq, i) => `${seq} ${steps[i]} ${values[i]}`);
const countOf = (part: Map<string, Series>): number =>
  [...part.values()].reduce((sum, { seqs }) => sum + seqs.length, 0);

/** Reads series in parts, and notes what is asked of the store. */
async function readInParts(run: { lastStep: number }, range: Partial<WholeSeries>, options: PartsOptions) {
  const points = new Map<string, string[]>();
  const parts: Map<string, Series>[] = [];
  const limits: (number | undefined)[] = [];
  const watched: Pick<EventStore, 'history' | 'events'> = {
    events: store.events.bind(store),
    history: (id, asked, signal) => {
      if (asked.fromStep !== asked.toStep) limits.push(asked.maxValues);
      return store.history(id, asked, signal);
    },
  };
  const take = (part: Map<string, Series>): void => {
    parts.push(part);
    for (const [metric, series] of part) points.set(metric, [...(points.get(metric) ?? []), ...pointsOf(series)]);
  };
  const { lastSeq } = await eachPart(watched, { runId, ...run }, { metrics, ...range }, take, options);
  return { points, parts, limits, lastSeq };
}

describe('series in parts', () => {
  it.each([30, 100, 100_000])('are whole with %i values at a time, in order of events', async (valuesAtOnce) => {
    const { lastStep, segments } = await aRunWithSegments();
    for (const range of [
      { startedSegments: segments },
      { segments },
      { startedSegments: segments, toStep: 110 },
      { segments, toStep: 40 },
    ]) {
      const { startedSegments: _, ...asked } = { startedSegments: [], ...range };
      const whole = await store.history(runId, { metrics, ...asked, maxPoints: everyPoint });
      const { points, parts, limits, lastSeq } = await readInParts({ lastStep }, range, { valuesAtOnce });
      const expected = new Map([...whole.series].map(([metric, series]) => [metric, pointsOf(series)]));
      expect(new Map([...points].filter(([, found]) => found.length > 0))).toEqual(expected);
      expect(lastSeq).toBe(402);
      expect(new Set(limits)).toEqual(new Set([valuesAtOnce]));
      let before = 0;
      for (const part of parts.filter((part) => countOf(part) > 0)) {
        const all = [...part.values()];
        const steps = new Set(all.flatMap((series) => [...series.steps]));
        if (steps.size > 1) expect(countOf(part)).toBeLessThanOrEqual(valuesAtOnce);
        const seqs = all.flatMap((series) => [...series.seqs]);
        expect(Math.min(...seqs)).toBeGreaterThan(before);
        before = Math.max(...seqs);
      }
    }
  });

  it('are complete up to one event number, though the run goes on meanwhile', async () => {
    await store.append(runId, [first, ...Array.from({ length: 50 }, (_, i) => at(i + 2, i + 1))]);
    let [lastSeq, taken] = [51, 0];
    const take = async (part: Map<string, Series>): Promise<void> => {
      taken += part.get('train/loss')?.seqs.length ?? 0;
      // As many at the last step as after it.
      await store.append(runId, [at(++lastSeq, 50), at(++lastSeq, 50)]);
    };
    const range = { metrics: ['train/loss'] };
    const read = await eachPart(store, { runId, lastStep: 50 }, range, take, { valuesAtOnce: 20 });
    expect(read.lastSeq).toBe(51);
    expect(taken).toBe(50);
    expect(lastSeq).toBeGreaterThan(53);
  });

  it('go as far as the run does, where more steps are stored than were known', async () => {
    await store.append(runId, [first, ...Array.from({ length: 500 }, (_, i) => at(i + 2, i + 1))]);
    const { points } = await readInParts({ lastStep: 10 }, {}, { valuesAtOnce: 30 });
    expect(points.get('train/loss')).toHaveLength(500);
  });

  it('end when their reader leaves', async () => {
    const { lastStep } = await aRunWithSegments();
    const reader = new AbortController();
    let taken = 0;
    const take = (): void => {
      if (++taken === 2) reader.abort();
    };
    const reading = eachPart(store, { runId, lastStep }, { metrics }, take, {
      ...{ signal: reader.signal, valuesAtOnce: 40 },
    });
    await expect(reading).rejects.toThrow(ReadAbandonedError);
    expect(taken).toBe(2);
  });
});
