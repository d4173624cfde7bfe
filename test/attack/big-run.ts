import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { EmbeddedStore } from '@plumbline/server/dist/store/embedded-store.js';
import type { StoredRun } from '@plumbline/server/dist/store/event-store.js';

const metricsPerStep = 100;
const eventsPerBatch = 500;

/** Writes an ended run of `steps` x 100 values into a data folder that no hub uses. */
export async function fillBigRun(dataDir: string, steps: number, name = 'attack-big'): Promise<RunId> {
  const runId = RunId.parse(name);
  await mkdir(dataDir, { recursive: true });
  const store = new EmbeddedStore(join(dataDir, 'plumbline.duckdb'));
  const createdMs = Date.now() - 1000 * steps;
  const run: StoredRun = {
    ...{
      runId,
      description: describeRun(RunConfig.parse({ name })),
      parent: null,
      state: 'finished',
      reason: '',
      trainer: null,
    },
    ...{ createdMs, startedMs: createdMs, endedMs: createdMs + 1000 * steps },
  };
  const names = Array.from({ length: metricsPerStep }, (_, i) =>
    i === 0 ? 'train/loss' : i < 20 ? `held_out/task${i}/accuracy` : `drift/language_model.layers.${i}.mlp.up_proj`,
  );
  await store.createRun(run);
  for (let from = 1; from <= steps; from += eventsPerBatch)
    await store.append(
      runId,
      Array.from({ length: Math.min(eventsPerBatch, steps - from + 1) }, (_, i): TrainerEvent => {
        const step = from + i;
        const metrics = Object.fromEntries(names.map((metric, at) => [metric, Math.sin(step * (at + 1)) * 50]));
        return { type: 'step_completed', seq: step, step, stage: 0, wallTimeMs: createdMs + step * 1000, metrics };
      }),
    );
  await store.updateRun(run);
  await store.close();
  return runId;
}
