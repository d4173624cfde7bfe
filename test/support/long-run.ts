import { join } from 'node:path';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { EmbeddedStore } from '@plumbline/server/dist/store/embedded-store.js';
import { storeFile } from '@plumbline/server/dist/store/open-store.js';

export interface LongRun {
  runId: string;
  steps: number;
  /** Values of one step. */
  metrics: Record<string, number> | ((step: number) => Record<string, number>);
  /** Events after the steps, numbered and placed after the last step. */
  after?: readonly Record<string, unknown>[];
}

/** Writes an ended run into the data folder of a stopped hub, as if it had been recorded. */
export async function storeLongRun(
  dataDir: string,
  { runId: id, steps, metrics, after = [] }: LongRun,
): Promise<RunId> {
  const store = new EmbeddedStore(join(dataDir, storeFile));
  const runId = RunId.parse(id);
  const createdMs = 1_700_000_000_000;
  await store.createRun({
    ...{
      runId,
      description: describeRun(RunConfig.parse({ name: id })),
      parent: null,
      state: 'stopped',
      reason: '',
      trainer: null,
    },
    ...{ createdMs, startedMs: createdMs, endedMs: createdMs },
  });
  const eventsPerBatch = 1000;
  for (let from = 1; from <= steps; from += eventsPerBatch)
    await store.append(
      runId,
      Array.from({ length: Math.min(eventsPerBatch, steps - from + 1) }, (_, i): TrainerEvent => {
        const step = from + i;
        const values = typeof metrics === 'function' ? metrics(step) : metrics;
        return { type: 'step_completed', seq: step, step, stage: 0, wallTimeMs: createdMs + step, metrics: values };
      }),
    );
  for (let from = 0; from < after.length; from += eventsPerBatch)
    await store.append(
      runId,
      after
        .slice(from, from + eventsPerBatch)
        .map(
          (event, i) => ({ ...event, seq: steps + from + i + 1, step: steps, wallTimeMs: createdMs }) as TrainerEvent,
        ),
    );
  await store.close();
  return runId;
}

/** `count` metric names like those of weight drift. */
export const manyMetrics = (count: number): string[] =>
  Array.from({ length: count }, (_, i) => `drift/language_model.layers.${i}.mlp.up_proj`);
