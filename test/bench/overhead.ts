import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { selectBackend } from '@plumbline/server/dist/trainer/backend/select-backend.js';
import { loadBaseModel } from '@plumbline/server/dist/trainer/checkpoint.js';
import { buildModel } from '@plumbline/server/dist/trainer/models/build-model.js';
import { assignWeights } from '@plumbline/server/dist/trainer/models/host-weights.js';
import { ControlPoint } from '@plumbline/server/dist/trainer/control-point.js';
import { HubLink } from '@plumbline/server/dist/trainer/hub-link.js';
import { fineTuning } from '@plumbline/server/dist/trainer/methods/fine-tuning.js';
import { ProbeSuite } from '@plumbline/server/dist/trainer/probes/probe-suite.js';
import { train, type EventSink } from '@plumbline/server/dist/trainer/training-loop.js';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunId } from '@plumbline/shared/run';
import type { UnnumberedEvent } from '@plumbline/shared/trainer-event';
import { HubClient } from '../support/hub-client.js';
import { HubProcess } from '../support/hub-process.js';
import { Ledger } from '../support/ledger.js';

/*
 * The cost of streaming: the same steps without a hub, and with every event going through the real hub to its store and
 * a dashboard client, alternately in one process. Both include probes and checkpoints.
 */
const { values: flags } = parseArgs({
  options: { rounds: { type: 'string', default: '8' }, steps: { type: 'string', default: '40' } },
});
const hub = await HubProcess.start();
const client = await HubClient.open(hub);
const token = hub.trainerToken;
const folder = await mkdtemp(join(tmpdir(), 'plumbline-overhead-'));

const { name: backend, device } = await selectBackend();
const base = await loadBaseModel();
const model = await buildModel(base);
const probes = await ProbeSuite.create(model, base.tokenizer, { targets: ['counting'] });
const steps = Number(flags.steps);
const config = RunConfig.parse({ name: 'overhead', steps, checkpointEverySteps: steps });

/** Milliseconds from the first completed step to the last, probes included. */
async function trainOnce(runId: RunId, sink: EventSink): Promise<number> {
  assignWeights(model.parameters, base.weights);
  const endsMs: number[] = [];
  const emit = (event: UnnumberedEvent): void => {
    if (event.type === 'step_completed') endsMs.push(performance.now());
    sink.emit(event);
  };
  await train({
    ...{ runId, config, method: fineTuning(model), tokenizer: base.tokenizer, probes, control: new ControlPoint(emit) },
    trainer: { backend, device, host: 'bench', processId: process.pid, version: '0' },
    sink: { emit, room: () => sink.room() },
    checkpointFolder: join(folder, runId),
  });
  return endsMs.at(-1)! - endsMs[0]!;
}

const alone: EventSink = { emit: () => undefined, room: () => Promise.resolve() };
const link = new HubLink(hub.url, token);
const ratios: number[] = [];
for (let round = 0; round <= Number(flags.rounds); round++) {
  const streamed = async (): Promise<number> => {
    const runId = RunId.parse(`overhead-${round}`);
    await link.attach(runId, describeRun(config), null);
    const ledger = new Ledger(client, runId);
    const ms = await trainOnce(runId, link);
    await link.flush();
    if (ledger.values.size === 0) throw new Error('The dashboard client saw nothing.');
    return ms;
  };
  // The order alternates from round to round; the first round warms up.
  const first = round % 2 === 0;
  const a = first ? await trainOnce(RunId.parse('alone'), alone) : await streamed();
  const b = first ? await streamed() : await trainOnce(RunId.parse('alone'), alone);
  const ratio = first ? b / a : a / b;
  if (round > 0) ratios.push(ratio);
  console.log(`${round === 0 ? 'warm-up' : `round ${round}`}: streaming takes ${ratio.toFixed(3)} x the time`);
}
ratios.sort((a, b) => a - b);
const ratio = (ratios[Math.floor((ratios.length - 1) / 2)]! + ratios[Math.floor(ratios.length / 2)]!) / 2;
link.close();
client.close();
await hub.remove();
await rm(folder, { recursive: true });
console.log(
  JSON.stringify({
    benchmark: 'overhead',
    backend,
    rounds: ratios.length,
    stepsARound: steps,
    ratio: Number(ratio.toFixed(4)),
  }),
);
process.exit(0);
