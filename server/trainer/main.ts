import { hostname } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { branchName } from '@plumbline/shared/branch-name';
import { TrainerLaunch } from '@plumbline/shared/built-in/launch';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import type { RunParent, TrainerInfo } from '@plumbline/shared/run';
import { hasNvidiaDriver } from './backend/native-setup.js';
import { BackendError, selectBackend, type BackendName } from './backend/select-backend.js';
import { loadBaseModel, loadCheckpoint, type Checkpoint } from './checkpoint.js';
import { ControlPoint } from './control-point.js';
import { EnergyMeter, type MeterOptions } from './energy/energy-meter.js';
import { HubLink, HubLinkError } from './hub-link.js';
import { prepareMethod } from './methods/prepare-method.js';
import { Evaluation } from './probes/evaluation.js';
import { ProbeSuite } from './probes/probe-suite.js';
import { startNewRun } from './starting-point.js';
import { trainerSecret } from './trainer-secret.js';
import { train, type EventSink } from './training-loop.js';
import { writeUnsentEvents } from './unsent-events.js';
import { DamagedFileError } from './weights/damaged-file-error.js';

/*
 * The built-in trainer. It runs in its own process and speaks the trainer protocol like any other. It reads one
 * TrainerLaunch as JSON from standard input, trains, and exits once the hub has stored its last event.
 */

const version = '0.1.0';
/** A hub that is away for longer than this at the end of a run counts as gone; the events then go to a file. */
const flushLimitMs = 10 * 60_000;
/** After a termination signal, the system does not wait much longer than this. */
const hurriedFlushLimitMs = 8_000;

const launch = TrainerLaunch.parse(JSON.parse(await text(process.stdin)));
const link = new HubLink(launch.hubUrl, launch.token, {
  onAway: (cause) => console.error(`No hub answers at ${launch.hubUrl} (${cause}). Trying again; Ctrl-C ends it.`),
  onBack: () => console.error(`The hub at ${launch.hubUrl} answers.`),
});
let control = new ControlPoint((event) => link.emit(event));
/** Signals from outside: from a hub that shuts down, a person or a scheduler. */
const toldToEnd = 'ended from outside, for example because its hub stopped; it can continue from its last checkpoint';
let hurried = false;
/** The last error that was printed. */
let said: unknown;
/** Whether the hub has accepted the run. */
let isKnown = false;
link.onCommand((command) => control.take(command));
function endSoon(): void {
  hurried = true;
  control.requestStop(toldToEnd);
  // Nothing was trained yet, so there is nothing to save.
  if (!isKnown) return link.giveUp('Ended before a hub had answered; nothing was trained.');
  setTimeout(() => link.giveUp('The trainer was told to end and the hub did not answer.'), hurriedFlushLimitMs).unref();
}
process.on('SIGTERM', endSoon);
process.on('SIGINT', endSoon);
let meter: EnergyMeter | undefined;
/** The training position, for crash reports. */
const position = { runId: launch.runId, step: 0 };
const sink: EventSink = {
  emit(event) {
    position.step = event.step;
    link.emit(event);
  },
  room: () => link.room(),
};

const folderOf = (runId: string): string => join(launch.dataDir, 'runs', runId);

process.exitCode = await trainAll().catch(async (error: unknown) => {
  const expected = error instanceof BackendError || error instanceof DamagedFileError;
  sayOnce(error);
  const reason = error instanceof Error ? (expected ? error.message : (error.stack ?? error.message)) : String(error);
  if (!link.failure) link.emit({ type: 'run_failed', step: position.step, wallTimeMs: Date.now(), reason });
  await lastWord();
  return 1;
});
meter?.close();
link.close();

/** A lost link is reported again at the end. */
function sayOnce(error: unknown): void {
  if (error === said) return;
  said = error;
  console.error(error instanceof HubLinkError ? error.message : error);
}

/** Trains the run and then, one after another, the branches that continue it. */
async function trainAll(): Promise<number> {
  const noHub = setTimeout(() => link.giveUp(`No hub answered at ${launch.hubUrl}.`), flushLimitMs);
  const secret = await trainerSecret(folderOf(launch.runId), launch.secret);
  const { segment } = launch;
  const described = describeRun(launch.config);
  await link
    .attach(launch.runId, described, launch.parent, secret, segment !== undefined)
    .finally(() => clearTimeout(noHub));
  isKnown = true;
  const { name: backend, device } = await selectBackend({ prefer: launch.config.backend });
  const energy = (meter = await EnergyMeter.open({ settings: launch.energy, gpu: gpuOf(backend) }));
  const base = await loadBaseModel();
  const method = await prepareMethod(launch.config.method, base, launch.config.seed);
  const probes = await ProbeSuite.create(method.model, base.tokenizer, { targets: launch.config.tasks });
  const { evaluationQuestions: questionsPerTask, evaluationSeed: seed } = launch.config;
  const evaluation =
    questionsPerTask > 0
      ? await Evaluation.create(method.model, base.tokenizer, { questionsPerTask, seed })
      : undefined;
  const trainer: TrainerInfo = { backend, device, host: hostname(), processId: process.pid, version };
  let runId = launch.runId;
  let segmentFrom = segment?.checkpointId;
  let from = segmentFrom
    ? await loadCheckpoint(join(folderOf(runId), 'checkpoints', segmentFrom))
    : launch.parent
      ? await startingPoint(launch.parent)
      : undefined;
  for (;;) {
    const outcome = await train({
      ...{ runId, config: launch.config, method, tokenizer: base.tokenizer, probes, evaluation, sink, control, energy },
      trainer: { ...trainer, energy: energy.basis(from !== undefined) },
      checkpointFolder: join(folderOf(runId), 'checkpoints'),
      ...(from ? { from } : {}),
      ...(segmentFrom && { segmentFrom }),
    });
    segmentFrom = undefined;
    if (!(await lastWord())) return 1;
    if (outcome.kind !== 'branched') return outcome.kind === 'failed' ? 1 : 0;
    const { branchRunId, checkpointId, checkpoint } = outcome.branch;
    control = new ControlPoint((event) => link.emit(event));
    if (hurried) control.requestStop(toldToEnd);
    const { step } = checkpoint.position;
    const described = describeRun({ ...launch.config, name: branchName(launch.config.name, step) });
    const parent = { runId, checkpointId, step, goesOn: true };
    await link.attach(branchRunId, described, parent, await trainerSecret(folderOf(branchRunId)));
    [runId, from] = [branchRunId, checkpoint];
    energy.restart();
    Object.assign(position, { runId, step });
  }
}

/** WebGPU asks for the fastest GPU, so next to an NVIDIA driver its GPU is taken to be NVIDIA's. */
function gpuOf(backend: BackendName): MeterOptions['gpu'] {
  if (backend === 'tensorflow-gpu') return 'nvidia';
  if (backend === 'webgpu') return hasNvidiaDriver() ? 'nvidia' : 'other';
  return 'none';
}

async function startingPoint({ runId, checkpointId, goesOn }: RunParent): Promise<Checkpoint> {
  const checkpoint = await loadCheckpoint(join(folderOf(runId), 'checkpoints', checkpointId));
  return goesOn ? checkpoint : startNewRun(checkpoint, launch.config);
}

/**
 * Waits until the hub has stored everything. Writes the rest to a file when the hub is lost, so that nothing is lost.
 */
async function lastWord(): Promise<boolean> {
  const stored = await link.flush(hurried ? hurriedFlushLimitMs : flushLimitMs).catch((error: unknown) => {
    sayOnce(error);
    return false;
  });
  if (stored || link.unacknowledged.length === 0) return stored;
  const path = join(folderOf(position.runId), 'unsent-events.jsonl');
  await writeUnsentEvents(path, position.runId, link.unacknowledged);
  console.error(
    `The hub did not accept ${link.unacknowledged.length} events; they are in ${path}. To hand them in, stop the hub and ` +
      `run on its machine, with its own data folder if it differs: npm run plumbline -- import ${path} --data-dir ` +
      launch.dataDir,
  );
  return false;
}
