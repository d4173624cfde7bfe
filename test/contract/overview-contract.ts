import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { fromWireNumber, isMeasured } from '@plumbline/shared/metric';
import type { CommandRecord } from '@plumbline/shared/command';
import type { RunSummary } from '@plumbline/shared/run';
import type { RunOverview } from '@plumbline/shared/run-list';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { RunOverviews } from '../../server/run/overview/run-overviews.js';
import type { StoreUnderTest } from './store-under-test.js';
import { commandRecord, runId, stepEvent, storedRun } from './stored-samples.js';

/** The overview that a list shows of a run, made from the store alone. */
export function overviewContract(subject: StoreUnderTest): void {
  it('answers everything that the overview of a run needs', async () => {
    const segments = [{ seq: 302, fromStep: 250 }];
    await subject.store.append(runId, [
      ...Array.from({ length: 300 }, (_, i) =>
        stepEvent(i + 1, { 'train/loss': i === 99 ? 50 : 1, ...(i < 3 && { 'my/score': i }) }),
      ),
      { type: 'command_applied', seq: 301, step: 300, commandId: 'command-2', wallTimeMs: 1 } as TrainerEvent,
      { type: 'segment_started', seq: 302, step: 250, fromStep: 250, wallTimeMs: 1 } as TrainerEvent,
      stepEvent(303, { 'train/loss': 'NaN' }, 251),
    ]);
    const changed = (commandId: string, step: number): CommandRecord =>
      commandRecord(commandId, {
        ...{ action: { kind: 'set_learning_rate', learningRate: 1e-4 }, state: 'applied', step },
        ...{ before: { learning_rate: 1 }, after: { learning_rate: 1e-4 } },
      });
    const lowered = changed('command-1', 7);
    await subject.store.putCommand(lowered);
    // The segment undoes it.
    await subject.store.putCommand(changed('command-2', 300));
    await subject.store.updateRun({ ...storedRun(), state: 'finished', segments } as never, true);
    await subject.reopen();
    const run = (await subject.store.run(runId)) as unknown as RunSummary;
    const overview = await overviewOf(subject, run);
    expect(overview).toMatchObject({ lastSeq: 303, changes: [lowered] });
    expect(overview.series.map(({ name, step, value }) => ({ name, step, value }))).toEqual([
      { name: 'train/loss', step: 251, value: 'NaN' },
      { name: 'my/score', step: 3, value: 2 },
    ]);
    const [loss] = overview.series;
    // What was superseded is not there; the NaN at the end is, to be marked.
    const values = loss!.values.map(fromWireNumber);
    expect(Math.max(...values.filter(isMeasured))).toBe(50);
    expect([loss!.steps.at(-1), values.at(-1)]).toEqual([251, NaN]);
    expect(loss!.steps.slice(0, -1).every((step) => step <= 250)).toBe(true);
  });
}

async function overviewOf({ store }: StoreUnderTest, run: RunSummary): Promise<RunOverview> {
  const folder = mkdtempSync(join(tmpdir(), 'plumbline-overviews-'));
  const errors: unknown[] = [];
  const overviews = new RunOverviews({ store, folder, find: () => run, onError: (error) => errors.push(error) });
  try {
    const [text] = await overviews.of([run], 30_000);
    expect(errors).toEqual([]);
    return JSON.parse(text!) as RunOverview;
  } finally {
    overviews.close();
    rmSync(folder, { recursive: true });
  }
}
