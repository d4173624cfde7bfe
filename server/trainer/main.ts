import { writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { TrainerLaunch } from '@plumbline/shared/launch';
import type { RunParent, TrainerInfo } from '@plumbline/shared/run';
import { BackendError, selectBackend } from './backend/select-backend.js';
import { buildModel, loadBaseModel, loadCheckpoint, type Checkpoint } from './checkpoint.js';
import { ControlPoint } from './control-point.js';
import { HubLink } from './hub-link.js';
import { ProbeSuite } from './probe/probe-suite.js';
import { DamagedFileError } from './safetensors.js';
import { train } from './training-loop.js';

/*
 * The built-in trainer: a process of its own that speaks to the hub as any trainer does. It reads one TrainerLaunch as
 * JSON from standard input, trains, and exits once the hub has stored its last word.
 */

const version = '0.1.0';
/** A hub that is gone for longer than this at the end of a run will not come back; the events then go to a file. */
const flushLimitMs = 10 * 60_000;
/** Told to end, a process is not waited for much longer than this. */
const hurriedFlushLimitMs = 8_000;

const launch = TrainerLaunch.parse(JSON.parse(await text(process.stdin)));
const link = new HubLink(launch.hubUrl, launch.token);
let control = new ControlPoint((event) => link.emit(event));
let hurried = false;
link.onCommand((command) => control.take(command));
process.on('SIGTERM', () => {
  hurried = true;
  control.requestStop('the trainer was told to end');
});

const folderOf = (runId: string): string => join(launch.dataDir, 'runs', runId);

await link.attach(launch.runId, launch.config, launch.parent);
process.exitCode = await trainAll().catch(async (error: unknown) => {
  console.error(error);
  if (link.failure) return 1;
  const expected = error instanceof BackendError || error instanceof DamagedFileError;
  const reason = error instanceof Error ? (expected ? error.message : (error.stack ?? error.message)) : String(error);
  link.emit({ type: 'run_failed', step: 0, wallTimeMs: Date.now(), reason: reason.slice(0, 4000) });
  await lastWord(launch.runId);
  return 1;
});
link.close();

/** Trains the run, and the branches it is continued as, one after another. */
async function trainAll(): Promise<number> {
  const { name: backend, device } = await selectBackend({ prefer: launch.config.backend });
  const base = await loadBaseModel();
  const model = buildModel(base.config, base.weights);
  const probes = await ProbeSuite.create(model, base.tokenizer, { targets: [launch.config.task] });
  const trainer: TrainerInfo = { backend, device, host: hostname(), processId: process.pid, version };
  let runId = launch.runId;
  let from = launch.parent ? await parentCheckpoint(launch.parent) : undefined;
  for (;;) {
    const outcome = await train({
      ...{ runId, config: launch.config, trainer, model, tokenizer: base.tokenizer, probes, sink: link, control },
      checkpointFolder: join(folderOf(runId), 'checkpoints'),
      ...(from ? { from } : {}),
    });
    if (!(await lastWord(runId))) return 1;
    if (outcome.kind !== 'branched') return outcome.kind === 'failed' ? 1 : 0;
    const { branchRunId, checkpointId, checkpoint } = outcome.branch;
    control = new ControlPoint((event) => link.emit(event));
    if (hurried) control.requestStop('the trainer was told to end');
    await link.attach(branchRunId, launch.config, { runId, checkpointId, step: checkpoint.position.step });
    [runId, from] = [branchRunId, checkpoint];
  }
}

function parentCheckpoint({ runId, checkpointId }: RunParent): Promise<Checkpoint> {
  return loadCheckpoint(join(folderOf(runId), 'checkpoints', checkpointId));
}

/** Waits until everything is stored; what a lost hub cannot take is written to a file, so that nothing is lost. */
async function lastWord(runId: string): Promise<boolean> {
  const stored = await link.flush(hurried ? hurriedFlushLimitMs : flushLimitMs).catch((error: unknown) => {
    console.error(error);
    return false;
  });
  if (stored) return true;
  const path = join(folderOf(runId), 'unsent-events.jsonl');
  await writeFile(path, link.unacknowledged.map((event) => JSON.stringify(event) + '\n').join(''));
  console.error(`The hub did not take ${link.unacknowledged.length} events; they are in ${path}.`);
  return false;
}
