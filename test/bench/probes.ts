import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { selectBackend, type BackendName } from '@plumbline/server/dist/trainer/backend/select-backend.js';
import { loadBaseModel } from '@plumbline/server/dist/trainer/checkpoint.js';
import { buildModel } from '@plumbline/server/dist/trainer/models/build-model.js';
import { ControlPoint } from '@plumbline/server/dist/trainer/control-point.js';
import { fineTuning } from '@plumbline/server/dist/trainer/methods/fine-tuning.js';
import { compiled } from '@plumbline/server/dist/trainer/methods/compiled.js';
import { ProbeSuite } from '@plumbline/server/dist/trainer/probes/probe-suite.js';
import { train } from '@plumbline/server/dist/trainer/training-loop.js';
import { fromWireNumber, metrics } from '@plumbline/shared/metric';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import type { UnnumberedEvent } from '@plumbline/shared/trainer-event';
import { quantile } from './quantile.js';

/*
 * The cost of probes: a real run, probed every few steps so that both are measured together. The medians give the share
 * of training time that probes take at the default interval.
 */
const { values: flags } = parseArgs({
  options: {
    steps: { type: 'string', default: '120' },
    recipe: { type: 'string', default: 'full' },
    backend: { type: 'string' },
  },
});
const { name: backend, device } = await selectBackend(flags.backend ? { prefer: flags.backend as BackendName } : {});
const base = await loadBaseModel();
const model = await buildModel(base);
const probes = await ProbeSuite.create(model, base.tokenizer, { targets: ['counting'] });
const everySteps = RunConfig.parse({ name: 'default' }).probeEverySteps;
const config = RunConfig.parse({
  ...{ name: 'probes', recipe: flags.recipe, steps: Number(flags.steps), probeEverySteps: 4 },
  checkpointEverySteps: Number(flags.steps),
});
const folder = await mkdtemp(join(tmpdir(), 'plumbline-probes-'));

const taken: Record<string, number[]> = { [metrics.stepDurationMs]: [], [metrics.probeDurationMs]: [] };
const emit = (event: UnnumberedEvent): void => {
  // The first steps warm up.
  if (!('metrics' in event) || event.step <= 8) return;
  for (const [name, durations] of Object.entries(taken))
    if (event.metrics[name] !== undefined) durations.push(fromWireNumber(event.metrics[name]));
};
const { kind } = await train({
  ...{ runId: RunId.parse('probes'), config, method: compiled(fineTuning(model)), tokenizer: base.tokenizer, probes },
  trainer: { backend, device, host: 'bench', processId: process.pid, version: '0' },
  sink: { emit, room: () => Promise.resolve() },
  ...{ control: new ControlPoint(emit), checkpointFolder: folder },
});
await rm(folder, { recursive: true });
if (kind !== 'finished') throw new Error(`The run ${kind}.`);
const stepMs = quantile(taken[metrics.stepDurationMs]!, 0.5);
const probeMs = quantile(taken[metrics.probeDurationMs]!, 0.5);
console.log(
  JSON.stringify({
    ...{ benchmark: 'probes', backend, recipe: flags.recipe, probes: taken[metrics.probeDurationMs]!.length },
    ...{ probeMs, stepMs, everySteps, share: Number((probeMs / (everySteps * stepMs)).toFixed(4)), aim: 0.05 },
  }),
);
process.exit(0);
