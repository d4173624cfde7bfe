import { describe, expect, it } from 'vitest';
import type { LargeEvent } from '@plumbline/shared/large-event';
import { RunId, type Segment } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import type { LargeEventRange } from '../../server/store/event-store.js';
import { examplesOf, largeExamples, tokenShift } from '../support/large-events.js';
import type { StoreUnderTest } from './store-under-test.js';
import { runId, stepEvent, storedRun } from './stored-samples.js';
import { storedControlEvents } from '../support/stored-control-events.js';

/** Large events and ranges of them. */
export function largeEventContract(subject: StoreUnderTest): void {
  describe('large events', () => {
    const read = async (range: Partial<LargeEventRange> = {}, id = runId) => {
      const events: LargeEvent[] = [];
      const { lastSeq, earlier } = await subject.store.eachLargeEvent(
        id,
        { type: 'examples', newest: 100, maxBytes: 1e9, ...range },
        (texts) => void events.push(...texts.map((text) => JSON.parse(text) as LargeEvent)),
      );
      return { events, earlier, lastSeq };
    };
    const seqs = async (range: Partial<LargeEventRange> = {}): Promise<number[]> =>
      (await read(range)).events.map(({ seq }) => seq);
    const paused: TrainerEvent = { type: 'run_paused', seq: 5, step: 4, wallTimeMs: 1, reason: 'é' };

    it('are read back complete, in order with other events, and are not control events', async () => {
      const events = [stepEvent(1, { 'train/loss': 1 }), tokenShift(2, 1), examplesOf(3), largeExamples(4), paused];
      await subject.store.append(runId, events);
      for (let opened = 1; opened <= 2; opened++) {
        const pages: TrainerEvent[] = [];
        while (pages.length < 5)
          pages.push(...((await subject.store.events(runId, pages.length + 1, 2)) as TrainerEvent[]));
        expect(pages).toEqual(events);
        expect(await storedControlEvents(subject.store, runId)).toEqual({ lastSeq: 5, events: [paused] });
        expect(await read()).toEqual({ events: [examplesOf(3), largeExamples(4)], earlier: 0, lastSeq: 5 });
        expect((await read({ type: 'token_shift' })).events).toEqual([tokenShift(2, 1)]);
        expect([...(await subject.store.history(runId, { maxPoints: 10 })).series.keys()].sort()).toEqual([
          'run/wall_time_ms',
          'train/loss',
        ]);
        await subject.reopen();
      }
    });

    it('are limited to the newest of a range and to a number of bytes, ascending', async () => {
      await subject.store.append(
        runId,
        Array.from({ length: 9 }, (_, i) => examplesOf(i + 1, 10 * Math.floor(i / 2))),
      );
      expect(await read({ newest: 2 })).toMatchObject({ events: [{ seq: 8 }, { seq: 9 }], earlier: 7 });
      expect(await seqs({ fromStep: 10, toStep: 20 })).toEqual([3, 4, 5, 6]);
      expect(await read({ toStep: 20, beforeSeq: 4, newest: 2 })).toMatchObject({
        events: [{ seq: 2 }, { seq: 3 }],
        earlier: 1,
      });
      expect(await seqs({ fromStep: 41 })).toEqual([]);
      const { length } = JSON.stringify(examplesOf(1));
      expect(await seqs({ maxBytes: 2.5 * length })).toEqual([8, 9]);
      expect(await seqs({ maxBytes: 1 })).toEqual([9]);
      expect(await read({}, RunId.parse('nowhere'))).toEqual({ events: [], earlier: 0, lastSeq: 0 });
    });

    it('leave out superseded events, and keep them stored', async () => {
      const segment: Segment = { seq: 4, fromStep: 10 };
      const begun: TrainerEvent = { type: 'segment_started', ...segment, step: 10, wallTimeMs: 1 };
      const events = [examplesOf(1, 10), examplesOf(2, 20), examplesOf(3, 30), begun, examplesOf(5, 20)];
      await subject.store.append(runId, events);
      expect(await seqs({ segments: [segment] })).toEqual([1, 5]);
      expect(await read({ segments: [segment], newest: 1 })).toMatchObject({ earlier: 1 });
      expect(await subject.store.events(runId, 1, 10)).toEqual(events);
    });

    it('are read in short pages, however many there are at one step', async () => {
      const events = Array.from({ length: 8 }, (_, i) => largeExamples(i + 1, 3));
      await subject.store.append(runId, events);
      let next = 1;
      for (let page = []; next <= 8; next += page.length) {
        page = await subject.store.events(runId, next, 1000);
        expect(page).toEqual(events.slice(next - 1, next - 1 + page.length));
        expect(page.length).toBeLessThan(4);
      }
      expect(await seqs()).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
    });

    it('are deleted with their run, and do not return with its id', async () => {
      const other = RunId.parse('run-b');
      await subject.store.createRun(storedRun(other));
      for (const id of [runId, other]) await subject.store.append(id, [examplesOf(1), tokenShift(2)]);
      await subject.store.deleteRun(runId);
      expect((await read()).events).toEqual([]);
      await subject.store.createRun(storedRun(runId, 5000));
      await subject.store.append(runId, [examplesOf(1, 7)]);
      expect(await seqs()).toEqual([1]);
      expect(await subject.store.events(runId, 1, 10)).toEqual([examplesOf(1, 7)]);
      expect((await read({ type: 'token_shift' })).events).toEqual([]);
      expect((await read({}, other)).events).toEqual([examplesOf(1)]);
    });
  });
}
