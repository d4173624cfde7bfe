import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CommandRecord } from '@plumbline/shared/command';
import type { WireNumber } from '@plumbline/shared/metric';
import { RunConfig, RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import {
  SequenceGapError,
  StoreConflictError,
  type EventStore,
  type StoredRun,
} from '../../server/store/event-store.js';

export const runId = RunId.parse('run-a');
export const storedRun = (id: RunId = runId, createdMs = 1000): StoredRun => ({
  runId: id,
  config: RunConfig.parse({ name: 'contract' }),
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
      await store.createRun(storedRun(later, 2000));
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
      const { values, wallTimesMs } = await lossOf();
      expect([...values]).toEqual([NaN, Infinity, -Infinity, 5e-324, 1.7976931348623157e308, 0.1]);
      expect(wallTimesMs[5]).toBe(1_700_000_000_006);
    });

    it('gives the series asked for in the range asked for; a metric that came late is complete', async () => {
      await store.append(runId, lossEvents(1, 10));
      await store.append(runId, [stepEvent(11, { 'train/loss': 0, 'held_out/colour/accuracy': 90 })]);
      const all = await store.history(runId, { maxPoints: 100 });
      expect([...all.series.keys()].sort()).toEqual(['held_out/colour/accuracy', 'train/loss']);
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
      const { seqs, values } = await lossOf(500);
      expect(seqs.length).toBeLessThanOrEqual(500);
      expect(seqs.length).toBeGreaterThan(200);
      expect([...seqs]).toEqual([...seqs].sort((a, b) => a - b));
      expect([seqs[0], seqs[seqs.length - 1]]).toEqual([1, length]);
      for (const seq of [1234, 5678, 7777]) expect(values[seqs.indexOf(seq)]).toEqual(Number(value(seq)));
      expect((await lossOf(length)).seqs).toHaveLength(length);
      expect((await lossOf(5)).seqs.length).toBeLessThanOrEqual(5);
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

    it('lists control events whole and in order, apart from metrics', async () => {
      const paused: TrainerEvent = { type: 'run_paused', seq: 2, step: 1, wallTimeMs: 5, reason: 'über "quoted" ✓' };
      const finished: TrainerEvent = { type: 'run_finished', seq: 4, step: 3, wallTimeMs: 6 };
      await store.append(runId, [...lossEvents(1, 1), paused, stepEvent(3, {}), finished]);
      store = await reopen();
      expect(await store.controlEvents(runId)).toEqual({ lastSeq: 4, events: [paused, finished] });
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
    });

    it('refuses work after it is closed', async () => {
      await store.close();
      await expect(store.append(runId, lossEvents(1, 1))).rejects.toThrow(/closed/);
    });
  });
}
