#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Command } from 'commander';
import { RunConfig } from '@plumbline/shared/run';
import { Sessions } from './access/sessions.js';
import { readConfig, rootDir } from './config.js';
import { addDataCommand } from './data-command.js';
import { addDeleteCommand } from './delete-command.js';
import { addFindingsCommand } from './findings-command.js';
import { hubUrl } from './hub-address.js';
import { startHub } from './main.js';
import { addBackupCommands } from './operations/backup-command.js';
import { addInfluxSetupCommand } from './operations/influx-setup-command.js';
import { addRepairCommand } from './operations/repair-command.js';
import { buildDashboard } from './prepare/dashboard-build.js';
import { runTrainerProgram } from './prepare/trainer-program.js';
import { stopOnSignal } from './stop-on-signal.js';
import { addStudyCommand } from './study-command.js';
import { addTrainCommand } from './train-command.js';
import { addTransferCommands } from './transfer-commands.js';

/**
 * What `--demo` trains in a new data folder: counting with the whole language model, the recipe that drifts
 * most. It drifts within the first minute and goes on for several more, so that there is time to steer.
 */
const demo = RunConfig.parse({ name: 'Demo counting full', recipe: 'full', steps: 6000 });

interface StartFlags {
  demo?: true;
  prepare: boolean;
  port?: string;
  host?: string;
  dataDir?: string;
}
const say = (line: string): void => console.log(line);
// A hub outlives who reads what it says: a closed terminal, `| head`.
for (const stream of [process.stdout, process.stderr])
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error;
  });

const { version } = JSON.parse(readFileSync(join(rootDir, 'package.json'), 'utf8')) as { version: string };
const program = new Command('plumbline')
  .description('Watch and steer bias drift while a multimodal model is fine-tuned')
  .version(version);

program
  .command('start')
  .description('prepare what is needed, then run the hub with its dashboard until Ctrl-C')
  .option('--demo', 'start the demonstration run if there never was a run')
  .option('--port <number>', 'port to listen on (PLUMBLINE_PORT, 4517); 0 takes a free one')
  .option('--host <address>', 'address to listen on (PLUMBLINE_HOST, 127.0.0.1)')
  .option('--data-dir <folder>', 'where runs are kept (PLUMBLINE_DATA_DIR, .plumbline)')
  .option('--no-prepare', 'neither set up the native backend nor build the dashboard')
  .action(start);

program
  .command('link')
  .description('print a new one-time link that lets a browser control runs')
  .option('--data-dir <folder>', 'data folder of the hub')
  .action(({ dataDir }: { dataDir?: string }) => {
    const config = readConfig({ PLUMBLINE_DATA_DIR: dataDir });
    const url = hubUrl(config.dataDir);
    if (url === null)
      throw new Error(
        `No hub runs on ${config.dataDir}. Start one with npm start, or name its folder with --data-dir.`,
      );
    say(linkTo(config.publicUrl ?? url, new Sessions(config.accessDir ?? config.dataDir)));
  });

program
  .command('setup')
  .description('set up the fastest training backend that this machine can have')
  .option('--gpu', 'set up the one for NVIDIA GPUs even if this machine shows none')
  .action(async ({ gpu }: { gpu?: true }) => {
    process.exitCode = (await runTrainerProgram(rootDir, 'setup', gpu ? ['--gpu'] : [])) ?? missing('setup');
  });

program
  .command('build')
  .description('build the dashboard, which start does too when it is stale')
  .action(async () => {
    if (!(await buildDashboard(rootDir, say))) process.exitCode = 1;
  });

program
  .command('doctor')
  .description('say which training backend is used, why the better ones are not, and what would bring them')
  .option('--json', 'for programs')
  .action(async ({ json }: { json?: true }) => {
    process.exitCode = (await runTrainerProgram(rootDir, 'doctor', json ? ['--json'] : [])) ?? missing('doctor');
  });

program
  .command('merge')
  .description(
    "write a checkpoint as a plain model: LoRA's adapters merged in, as safetensors with config and tokenizer",
  )
  .argument('<checkpoint>', 'folder of the checkpoint, e.g. .plumbline/runs/RUN/checkpoints/step-000400')
  .argument('<out>', 'folder to write, new')
  .action(async (checkpoint: string, out: string) => {
    const folders = [resolve(checkpoint), resolve(out)];
    process.exitCode = (await runTrainerProgram(rootDir, 'merge', folders)) ?? missing('merge');
  });

addBackupCommands(program);
addRepairCommand(program, say);
addTransferCommands(program, say);
addDeleteCommand(program, say);
addTrainCommand(program);
addFindingsCommand(program, say);
addStudyCommand(program, say);
addDataCommand(program, say);
addInfluxSetupCommand(program);

async function start(flags: StartFlags): Promise<void> {
  const config = readConfig({
    PLUMBLINE_HOST: flags.host,
    PLUMBLINE_PORT: flags.port,
    PLUMBLINE_DATA_DIR: flags.dataDir,
  });
  if (flags.prepare) {
    if ((await runTrainerProgram(rootDir, 'setup')) !== 0)
      say('Training goes on without the native backend, several times slower; `npm run plumbline -- doctor` says why.');
    if (!(await buildDashboard(rootDir, say))) say('The dashboard could not be built; the hub starts without it.');
  }
  const hub = await startHub(config);
  stopOnSignal({
    words: 'Stopping: built-in trainers save a checkpoint (again to leave at once) ...',
    close: () => hub.close(),
    say,
  });
  if (hub.storeProblem) console.error(`The store cannot be used yet, so nothing is recorded: ${hub.storeProblem}`);
  else if (flags.demo && (await hub.runs.list()).length === 0 && (await hub.runs.store.deletedRuns()).length === 0) {
    await hub.supervisor.start({ config: demo }).then(
      ({ runId }) => say(`Started the demonstration run ${runId}.`),
      (error: unknown) =>
        console.error(`No demonstration run: ${error instanceof Error ? error.message : String(error)}`),
    );
  }
  say(
    `\n  Plumbline runs. Open this link once to control runs from your browser:\n\n    ${linkTo(config.publicUrl ?? hub.url, hub.sessions)}\n`,
  );
  say('  Ctrl-C stops it; built-in trainers save a checkpoint first.\n');
}

function linkTo(url: string, sessions: Sessions): string {
  return `${url}/?token=${sessions.createLink()}`;
}

function missing(name: string): number {
  console.error(`The trainer's ${name} is not built. Run: npm run build`);
  return 1;
}

program.parseAsync().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});
