import { expect, it } from 'vitest';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { SequenceGapError, StoreConflictError } from '../../server/store/event-store.js';
import type { StoreUnderTest } from './store-under-test.js';
import { lossEvents, runId, stepEvent, storedRun } from './stored-samples.js';

/** Runs and appending their events. */
export function runContract(subject: StoreUnderTest): void {
  it('lists runs, newest first, each with the position of its last event', async () => {
    const later = RunId.parse('run-b');
    // Of milliseconds since 1970 the lower 32 bits go round every seven weeks.
    await subject.store.createRun(storedRun(later, 399 * 2 ** 32 + 5));
    await subject.store.append(later, lossEvents(1, 3));
    await subject.store.updateRun({ ...storedRun(), state: 'failed', reason: 'why' });
    await subject.reopen();
    expect((await subject.store.runs()).map((run) => [run.runId, run.lastSeq, run.lastStep, run.state])).toEqual([
      [later, 3, 3, 'created'],
      [runId, 0, 0, 'failed'],
    ]);
    expect(await subject.store.run(runId)).toEqual({
      ...storedRun(),
      state: 'failed',
      reason: 'why',
      lastSeq: 0,
      lastStep: 0,
    });
    expect(await subject.store.run(RunId.parse('nowhere'))).toBeNull();
  });

  it('knows the step of the last event of a run that went back, while it goes on and once it has ended', async () => {
    const begun: TrainerEvent = { type: 'segment_started', seq: 11, step: 4, fromStep: 4, wallTimeMs: 1 };
    await subject.store.append(runId, [...lossEvents(1, 10), begun, stepEvent(12, { 'train/loss': 1 }, 5)]);
    const lastOf = async () => {
      const { lastSeq, lastStep } = (await subject.store.run(runId))!;
      return { lastSeq, lastStep };
    };
    expect(await lastOf()).toEqual({ lastSeq: 12, lastStep: 5 });
    await subject.reopen();
    expect(await lastOf()).toEqual({ lastSeq: 12, lastStep: 5 });
    await subject.store.updateRun({ ...storedRun(), state: 'finished' }, true);
    for (let opened = 1; opened <= 2; opened++) {
      expect(await lastOf()).toEqual({ lastSeq: 12, lastStep: 5 });
      // Points of the steps that lie further on are still there.
      expect([...(await subject.lossOf()).steps].sort((a, b) => a - b).at(-1)).toBe(10);
      await subject.reopen();
    }
  });

  it('refuses a run id that is taken', async () => {
    await expect(subject.store.createRun(storedRun())).rejects.toThrow(StoreConflictError);
    expect(await subject.store.runs()).toHaveLength(1);
  });

  it('appends a repeated batch once, also after reopening', async () => {
    expect(await subject.store.append(runId, lossEvents(1, 5))).toMatchObject({ lastSeq: 5 });
    const overlap = await subject.store.append(runId, lossEvents(3, 8));
    expect(overlap.lastSeq).toBe(8);
    expect(overlap.appended.map((event) => event.seq)).toEqual([6, 7, 8]);
    await subject.reopen();
    expect(await subject.store.lastSeq(runId)).toBe(8);
    expect(await subject.store.append(runId, lossEvents(1, 8))).toEqual({ lastSeq: 8, appended: [] });
    expect([...(await subject.lossOf()).seqs]).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
  });

  it('refuses a gap before or within a batch, and keeps nothing of that batch', async () => {
    await subject.store.append(runId, lossEvents(1, 2));
    await expect(subject.store.append(runId, lossEvents(4, 5))).rejects.toMatchObject({ lastSeq: 2, gotSeq: 4 });
    await expect(subject.store.append(runId, [...lossEvents(3, 4), ...lossEvents(6, 6)])).rejects.toThrow(
      SequenceGapError,
    );
    expect(await subject.store.lastSeq(runId)).toBe(2);
    expect((await subject.lossOf()).seqs).toHaveLength(2);
  });

  it('keeps concurrent batches of many runs separate, and a gap in one affects no other', async () => {
    const ids = ['run-c', 'run-d', 'run-e'].map((id) => RunId.parse(id));
    await Promise.all(ids.map((id) => subject.store.createRun(storedRun(id))));
    const answers = await Promise.allSettled([
      ...ids.map((id) => subject.store.append(id, lossEvents(1, 50))),
      subject.store.append(runId, lossEvents(7, 9)),
      ...ids.map((id) => subject.store.append(id, lossEvents(51, 60))),
    ]);
    expect(answers.filter((answer) => answer.status === 'rejected')).toHaveLength(1);
    for (const id of ids) {
      const { series, lastSeq } = await subject.store.history(id, { maxPoints: 1000 });
      expect(lastSeq).toBe(60);
      expect([...series.get('train/loss')!.steps]).toEqual(Array.from({ length: 60 }, (_, i) => i + 1));
    }
    expect(await subject.store.lastSeq(runId)).toBe(0);
  });
}
