import { join } from 'node:path';
import { metrics, targetAccuracy } from '@plumbline/shared/metric';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId, type RunParent, type RunState } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { EmbeddedStore } from '@plumbline/server/dist/store/embedded-store.js';
import { storeFile } from '@plumbline/server/dist/store/open-store.js';

const probeEverySteps = 20;
const runsAtOnce = 50;
const ends: readonly RunState[] = ['finished', 'finished', 'finished', 'stopped', 'failed'];

/** Writes ended runs into the data folder of a stopped hub, as if they had been recorded. */
export async function storeManyRuns(dataDir: string, count: number, stepsPerRun = 200): Promise<void> {
  const store = new EmbeddedStore(join(dataDir, storeFile));
  // The store commits what waits together.
  const waiting = Array.from({ length: count }, (_, i) => i).reverse();
  const work = async (): Promise<void> => {
    for (let i = waiting.pop(); i !== undefined; i = waiting.pop()) await storeRun(store, i, stepsPerRun);
  };
  await Promise.all(Array.from({ length: runsAtOnce }, work));
  await store.close();
}

async function storeRun(store: EmbeddedStore, i: number, stepsPerRun: number): Promise<void> {
  const runId = RunId.parse(`bench-${i}`);
  const createdMs = 1_700_000_000_000 + i * 600_000;
  // Every tenth is a branch of the previous one.
  const parent: RunParent | null =
    i % 10 === 9
      ? { runId: RunId.parse(`bench-${i - 1}`), checkpointId: 'step-100' as RunParent['checkpointId'], step: 100 }
      : null;
  const config = RunConfig.parse({ name: `Counting ${i}`, steps: stepsPerRun, seed: i % 7, probeEverySteps });
  const description = describeRun(config);
  const [startedMs, endedMs] = [createdMs, createdMs + stepsPerRun * 100];
  const state = ends[i % ends.length]!;
  const run = { runId, description, parent, reason: '', trainer: null, createdMs, startedMs, endedMs, state };
  await store.createRun(run);
  await store.append(
    runId,
    Array.from({ length: stepsPerRun }, (_, s) => eventOf(s + 1, (s + 1) / stepsPerRun, i, createdMs)),
  );
}

function eventOf(step: number, share: number, run: number, createdMs: number): TrainerEvent {
  const wobble = Math.sin(step * 0.7 + run);
  const values = {
    [metrics.loss]: 2 * Math.exp(-3 * share) + 0.1 * wobble + 0.2,
    [metrics.learningRate]: 1e-3 * (1 - share),
    [metrics.gradientNorm]: 1 + wobble,
    ...(step % probeEverySteps === 0 && {
      [metrics.heldOutMean]: 70 - 30 * share + 2 * wobble,
      [targetAccuracy('counting')]: 20 + 60 * share + 2 * wobble,
      [metrics.numberTokensHeldOut]: 0.02 + 0.3 * share,
      [metrics.kl]: share,
    }),
  };
  return { type: 'step_completed', seq: step, step, stage: 0, wallTimeMs: createdMs + step * 100, metrics: values };
}
