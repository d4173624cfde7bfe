import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { misspeltSettings, readConfig, rootDir } from '../config.js';
import { buildDashboard } from '../prepare/dashboard-build.js';
import { runTrainerProgram } from '../prepare/trainer-program.js';
import { linkTo } from './link.js';
import { stopOnSignal } from './stop-on-signal.js';
import { sayError } from '../terminal.js';

/**
 * The run of `--demo` in a new data folder: counting with the whole language model, the recipe that drifts most. It drifts
 * within the first minute and continues for several more, so that there is time to steer.
 */
const demo = RunConfig.parse({ name: 'Demo counting full', recipe: 'full', steps: 6000 });

interface Flags {
  demo?: true;
  prepare: boolean;
  port?: string;
  host?: string;
  dataDir?: string;
}
type Say = (line: string) => void;

/** `plumbline start`: runs the hub with its dashboard. */
export function addStartCommand(program: Command, say: Say): void {
  program
    .command('start')
    .description('prepare what is needed, then run the hub with its dashboard until Ctrl-C')
    .option('--demo', 'start the demonstration run if there never was a run')
    .option('--port <number>', 'port to listen on (PLUMBLINE_PORT, 4517); 0 takes a free one')
    .option('--host <address>', 'address to listen on (PLUMBLINE_HOST, 127.0.0.1)')
    .option('--data-dir <folder>', 'where runs are kept (PLUMBLINE_DATA_DIR, .plumbline)')
    .option('--no-prepare', 'neither set up the native backend nor build the dashboard')
    .addHelpText(
      'after',
      '\nAll other settings come from the environment: server/config.ts lists them with their defaults.',
    )
    .action((flags: Flags) => start(flags, say));
}

async function start(flags: Flags, say: Say): Promise<void> {
  const config = readConfig({
    PLUMBLINE_HOST: flags.host,
    PLUMBLINE_PORT: flags.port,
    PLUMBLINE_DATA_DIR: flags.dataDir,
  });
  for (const words of misspeltSettings()) sayError(`Warning: ${words}`);
  if (flags.prepare) {
    if ((await runTrainerProgram(rootDir, 'setup')) !== 0)
      say('Training goes on without the native backend, several times slower; `npm run plumbline -- doctor` says why.');
    if (!(await buildDashboard(rootDir, say))) say('The dashboard could not be built; the hub starts without it.');
  }
  const hasDashboard = existsSync(join(config.webDir, 'index.html'));
  // Loaded lazily: other commands need no hub.
  const { startHub } = await import('../main.js');
  const hub = await startHub(config);
  stopOnSignal({
    words: 'Stopping: built-in trainers save a checkpoint (again to leave at once) ...',
    close: () => hub.close(),
    say,
  });
  if (hub.storeProblem) sayError(`The store cannot be used yet, so nothing is recorded: ${hub.storeProblem}`);
  else if (flags.demo && (await hub.runs.list()).length === 0 && (await hub.runs.store.deletedRuns()).length === 0) {
    await hub.supervisor.start({ config: demo }).then(
      ({ runId }) => say(`Started the demonstration run ${runId}.`),
      (error: unknown) => sayError(`No demonstration run: ${error instanceof Error ? error.message : String(error)}`),
    );
  }
  const link = linkTo(config.publicUrl ?? hub.url, hub.sessions);
  const lines = [
    ...['', '  Plumbline runs. Open this link once to control runs from your browser:', '', `    ${link}`, ''],
    ...(hasDashboard
      ? []
      : [
          '  The dashboard is not built, so the link shows no runs yet: `npm run plumbline -- build` builds it, also now.',
          '',
        ]),
    ...['  Ctrl-C stops it; built-in trainers save a checkpoint first.', ''],
  ];
  for (const line of lines) say(line);
}
