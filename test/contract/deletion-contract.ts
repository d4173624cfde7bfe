import { beforeEach, describe, expect, it } from 'vitest';
import type { CommandRecord } from '@plumbline/shared/command';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import type { StoreUnderTest } from './store-under-test.js';
import { commandRecord, lossEvents, runId, stepEvent, storedRun } from './stored-samples.js';
import { storedControlEvents } from '../support/stored-control-events.js';

/** A run that is deleted leaves nothing, and its id. */
export function deletionContract(subject: StoreUnderTest): void {
  describe('a run that is deleted', () => {
    const other = RunId.parse('run-b');
    const commandOf = (id: RunId): CommandRecord => commandRecord(`command-${id}`, { runId: id });
    /** All that a store answers of a run. */
    const all = async (id: RunId) => ({
      run: await subject.store.run(id),
      listed: (await subject.store.runs()).some((run) => run.runId === id),
      lastSeq: await subject.store.lastSeq(id),
      events: await subject.store.events(id, 1, 1000),
      control: await storedControlEvents(subject.store, id),
      history: await subject.store.history(id, { maxPoints: 1000 }),
      windows: (await subject.store.windows(id, {})).size,
      commands: await subject.store.commands(id),
      command: await subject.store.command(commandOf(id).commandId),
      isOpen: (await subject.store.runsWithOpenCommands()).includes(id),
    });
    const nothing = {
      ...{ run: null, listed: false, lastSeq: 0, events: [], control: { lastSeq: 0, events: [] } },
      ...{ history: { lastSeq: 0, series: new Map() }, windows: 0, commands: [], command: null, isOpen: false },
    };
    const finished: TrainerEvent = { type: 'run_finished', seq: 4, step: 3, wallTimeMs: 6 };
    beforeEach(async () => {
      // The same names, numbers and times as the run that stays.
      await subject.store.createRun(storedRun(other));
      for (const id of [runId, other]) {
        await subject.store.append(id, [...lossEvents(1, 3), finished]);
        await subject.store.putCommand(commandOf(id));
        await subject.store.updateRun({ ...storedRun(id), state: 'finished' });
      }
    });

    it('is gone with all its data, at once and after reopening, and other runs are unchanged', async () => {
      const before = await all(other);
      expect(before).toMatchObject({ listed: true, lastSeq: 4, windows: 2, isOpen: true });
      await subject.store.deleteRun(runId);
      for (let opened = 1; opened <= 2; opened++) {
        expect(await all(runId)).toEqual(nothing);
        expect(await all(other)).toEqual(before);
        expect(await subject.store.deletedRuns()).toEqual([runId]);
        await subject.reopen();
      }
    });

    it('may be deleted again, and so may a run that never existed', async () => {
      for (const id of [runId, runId, RunId.parse('nowhere')]) await subject.store.deleteRun(id);
      expect(await all(runId)).toEqual(nothing);
      expect(await subject.store.deletedRuns()).toEqual([runId]);
      expect((await subject.store.runs()).map((run) => run.runId)).toEqual([other]);
    });

    it.each([
      ['later', 5_000],
      ['as it was, by an import', 1000],
    ])('leaves its id to a run that is created %s, which has nothing of it', async (_, createdMs) => {
      await subject.store.deleteRun(runId);
      await subject.store.createRun(storedRun(runId, createdMs));
      await subject.store.append(runId, [stepEvent(1, { 'train/loss': 9, 'shift/kl': 2 })]);
      for (let opened = 1; opened <= 2; opened++) {
        expect(await subject.store.run(runId)).toMatchObject({ createdMs, state: 'created', lastSeq: 1, lastStep: 1 });
        expect(await subject.store.events(runId, 1, 1000)).toEqual([stepEvent(1, { 'train/loss': 9, 'shift/kl': 2 })]);
        expect([...(await subject.lossOf()).values]).toEqual([9]);
        expect(await subject.store.commands(runId)).toEqual([]);
        expect(await subject.store.deletedRuns()).toEqual([]);
        await subject.reopen();
      }
      await subject.store.deleteRun(runId);
      expect(await all(runId)).toEqual(nothing);
    });

    it('does not come back with writes of the same moment', async () => {
      await Promise.all([
        subject.store.append(other, lossEvents(1, 3)),
        subject.store.putCommand({ ...commandOf(runId), state: 'failed', endedMs: 1, reason: 'why' }),
        subject.store.updateRun({ ...storedRun(), state: 'failed' }),
        subject.store.deleteRun(runId),
        subject.store.createRun(storedRun(RunId.parse('run-c'))),
      ]);
      await subject.reopen();
      expect(await all(runId)).toEqual(nothing);
      expect((await subject.store.runs()).map((run) => run.runId).sort()).toEqual([other, 'run-c']);
    });
  });
}
