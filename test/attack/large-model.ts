import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { weightDrift } from '@plumbline/shared/metric';
import { RunId } from '@plumbline/shared/run';
import { TrainerEvent } from '@plumbline/shared/trainer-event';
import { EmbeddedStore } from '@plumbline/server/dist/store/embedded-store.js';
import { storeFile } from '@plumbline/server/dist/store/open-store.js';
import { describeModel } from '@plumbline/server/dist/trainer/models/parameter-roles.js';
import { mixture } from '../support/real-models.js';

/** Layers of the largest model that a trainer may describe: 49,914 tensors, each in a group of its own. */
export const mostLayers = 127;

/**
 * Writes an ended run of a mixture of experts into a data folder that no hub uses: it declares and measures the drift of
 * every group, and once changes what is trained.
 */
export async function fillLargeModel(dataDir: string, layers: number, name = 'attack-large-model'): Promise<RunId> {
  const runId = RunId.parse(name);
  await mkdir(dataDir, { recursive: true });
  const store = new EmbeddedStore(join(dataDir, storeFile));
  const createdMs = Date.now() - 10_000;
  const description = describeRun(RunConfig.parse({ name }));
  const ended = { state: 'finished', startedMs: createdMs, endedMs: createdMs + 5000 } as const;
  const run = { runId, description, parent: null, reason: '', trainer: null, createdMs, ...ended };
  const model = describeModel(name, mixture(layers));
  const names = model.groups.map((group) => weightDrift(group.name));
  const trainable = model.parameters.map((parameter) => parameter.name);
  const metrics = Object.fromEntries(names.map((metric, index) => [metric, index / 7]));
  const events = [
    {
      ...{ type: 'run_started', model, baseline: {}, selection: { kind: 'recipe', recipe: 'full' }, trainable },
      trainer: { backend: 'none', device: 'none', host: 'here', processId: 1, version: '1' },
      series: names.map((metric, number) => ({ number, name: metric, better: 'lower', noiseFloor: 0.001 })),
    },
    { type: 'probe_completed', stage: 0, metrics },
    {
      ...{ type: 'trainable_changed', selection: { kind: 'pattern', pattern: '*.mlp.*' } },
      trainable: trainable.filter((parameter) => parameter.includes('.mlp.')),
    },
    { type: 'probe_completed', stage: 0, metrics },
    { type: 'run_finished' },
  ].map((event, step) => TrainerEvent.parse({ ...event, seq: step + 1, step, wallTimeMs: createdMs + step * 1000 }));
  await store.createRun(run);
  await store.append(runId, events);
  await store.updateRun(run);
  await store.close();
  return runId;
}
