import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it, onTestFinished } from 'vitest';
import type { RunSummary } from '@plumbline/shared/run';
import { RunOverview } from '@plumbline/shared/run-list';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { MemoryStore } from '../../../test/support/memory-store.js';
import { aRunId } from '../../../test/support/test-hub.js';
import { RunOverviews } from './run-overviews.js';

const eventsAtOnce = 10;
const batches = 40;

/** The number of the last event in an overview whose run sent 400 events while its past was read. */
async function lastSeqAfter(series: number): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'plumbline-overviews-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  const run = { runId: aRunId(), createdMs: 1, state: 'running', lastSeq: 1, description: {} } as unknown as RunSummary;
  let goOn = (): void => undefined;
  const isSlow = new Promise<void>((resolve) => (goOn = resolve));
  let isRead = (): void => undefined;
  const begun = new Promise<void>((resolve) => (isRead = resolve));
  const store = new (class extends MemoryStore {
    override async history() {
      isRead();
      await isSlow;
      return { lastSeq: 1, series: new Map() };
    }
  })();
  const failures: unknown[] = [];
  const overviews = new RunOverviews({ store, folder, find: () => run, onError: (error) => failures.push(error) });
  const answer = overviews.of([run], 20_000);
  await begun;
  const names = ['train/loss', ...Array.from({ length: series - 1 }, (_, i) => `drift/${i}`)];
  const metrics = Object.fromEntries(names.map((name) => [name, 1]));
  for (let batch = 0; batch < batches; batch++)
    overviews.events(
      run.runId,
      Array.from({ length: eventsAtOnce }, (_, i): TrainerEvent => {
        const seq = 2 + batch * eventsAtOnce + i;
        return { type: 'step_completed', seq, step: seq, stage: 0, wallTimeMs: seq, metrics };
      }),
    );
  goOn();
  const [text] = await answer;
  expect(failures).toEqual([]);
  return RunOverview.parse(JSON.parse(text!)).lastSeq;
}

it('events that come while the past of a run is read are added to its overview, up to a number of values', async () => {
  const last = 1 + batches * eventsAtOnce;
  expect(await lastSeqAfter(100)).toBe(last);
  const held = (await lastSeqAfter(2000)) - 1;
  expect(held).toBeGreaterThan(0);
  expect(held * 2000).toBeLessThanOrEqual(200_000);
});
