import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { selectBackend } from '@plumbline/server/dist/trainer/backend/select-backend.js';
import { loadBaseModel } from '@plumbline/server/dist/trainer/checkpoint.js';
import { buildModel } from '@plumbline/server/dist/trainer/models/build-model.js';
import { ControlPoint } from '@plumbline/server/dist/trainer/control-point.js';
import { fineTuning } from '@plumbline/server/dist/trainer/methods/fine-tuning.js';
import { ProbeSuite } from '@plumbline/server/dist/trainer/probes/probe-suite.js';
import { train } from '@plumbline/server/dist/trainer/training-loop.js';
import { builtInDeclaration } from '@plumbline/shared/built-in/series';
import { metrics } from '@plumbline/shared/metric';
import { RunId } from '@plumbline/shared/run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import type { UnnumberedEvent } from '@plumbline/shared/trainer-event';

/*
 * The source of the noise floors in shared/built-in/series.ts: one model that has just begun to drift, probed with
 * several sets of questions of the size of a run's probes. The differences between sets are noise of the questions
 * only.
 */
const { values: flags } = parseArgs({
  options: {
    'probe-seeds': { type: 'string', default: '1,2,3,4,5,6,7,8' },
    steps: { type: 'string', default: '100' },
    'learning-rate': { type: 'string', default: '3e-4' },
    seed: { type: 'string', default: '1' },
  },
});
const measures = [metrics.numberTokensHeldOut, metrics.kl, metrics.js];

const { name: backend } = await selectBackend();
const base = await loadBaseModel();
const model = await buildModel(base);
const suites: ProbeSuite[] = [];
for (const seed of flags['probe-seeds'].split(',').map(Number))
  suites.push(await ProbeSuite.create(model, base.tokenizer, { targets: ['counting'], seed }));

const steps = Number(flags.steps);
const config = RunConfig.parse({
  ...{ name: 'probe noise', tasks: ['counting'], recipe: 'full', seed: Number(flags.seed), steps },
  ...{ learningRate: Number(flags['learning-rate']), probeEverySteps: steps, checkpointEverySteps: steps },
});
const emit = (event: UnnumberedEvent): void => {
  if (event.type === 'run_failed') throw new Error(event.reason);
};
const folder = await mkdtemp(join(tmpdir(), 'plumbline-experiment-'));
await train({
  ...{ runId: RunId.parse('experiment'), config, method: fineTuning(model), tokenizer: base.tokenizer },
  trainer: { backend, device: '', host: '', processId: process.pid, version: '0' },
  ...{ probes: suites[0]!, sink: { emit, room: () => Promise.resolve() }, control: new ControlPoint(emit) },
  checkpointFolder: folder,
});
await rm(folder, { recursive: true });

const probed: Record<string, number>[] = [];
for (const suite of suites) probed.push(await suite.run(model));
const summary = measures.map((measure) => {
  const values = probed.map((values) => values[measure]!);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (values.length - 1);
  return [
    measure,
    { mean, deviation: Math.sqrt(variance), floor: builtInDeclaration(measure).noiseFloor, values },
  ] as const;
});
for (const [measure, { mean, deviation, floor }] of summary)
  console.log(`${measure.padEnd(28)} mean ${mean.toFixed(4)}  deviation ${deviation.toFixed(4)}  noise floor ${floor}`);
console.log(
  JSON.stringify({
    experiment: 'probe-noise',
    ...{ backend, steps, learningRate: config.learningRate, seed: config.seed, probeSeeds: flags['probe-seeds'] },
    ...{ questionsPerTask: suites[0]!.questionsPerTask, measures: Object.fromEntries(summary) },
  }),
);
process.exit(0);
