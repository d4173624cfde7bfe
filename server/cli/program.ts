import { Command, CommanderError } from 'commander';
import { addBackupCommands } from './backup.js';
import { addDataCommand } from './data.js';
import { addDeleteCommand } from './delete.js';
import { exitCodes } from './exit-codes.js';
import { addFindingsCommand } from './findings.js';
import { addFreezeCommand } from './freeze.js';
import { addInfluxSetupCommand } from './influx-setup.js';
import { addLearningRateCommand } from './learning-rate.js';
import { addLinkCommand } from './link.js';
import { addModelCommands } from './model.js';
import { addPrepareCommands } from './prepare.js';
import { addRepairCommand } from './repair.js';
import { addRestoreCommand } from './restore.js';
import { addRulesCommand } from './rules.js';
import { addRunsCommand } from './runs.js';
import { addShowCommand } from './show.js';
import { addStartCommand } from './start.js';
import { addSteeringCommands } from './steer.js';
import { addStudyCommand } from './study.js';
import { addTrainCommand } from './train.js';
import { addTransferCommands } from './transfer.js';
import { fileTrouble } from '../given-file.js';
import { say, sayError } from '../terminal.js';
import { UsageError } from '../usage-error.js';
import { version } from './version.js';
import { addWatchCommand } from './watch.js';

/** The command line, with all its commands. @param say prints a line */
export function createProgram(say: (line: string) => void): Command {
  const program = new Command('plumbline')
    .description('Watch and steer bias drift while a multimodal model is fine-tuned')
    .version(version)
    .exitOverride()
    .addHelpText(
      'after',
      '\nType `npm run -s plumbline -- show RUN` where this says `plumbline show RUN`.' +
        '\nExit codes: 0 done; 1 refused or failed; 2 used wrongly, also by a setting or a file that it names; README.md has all.',
    );
  program.commandsGroup('The hub:');
  addStartCommand(program, say);
  addLinkCommand(program, say);
  program.commandsGroup('Runs, at a hub:');
  addRunsCommand(program, say);
  addShowCommand(program, say);
  addWatchCommand(program, say);
  addSteeringCommands(program, say);
  addFreezeCommand(program, say);
  addLearningRateCommand(program, say);
  addRestoreCommand(program, say);
  addRulesCommand(program, say);
  program.commandsGroup('Runs, afterwards:');
  addFindingsCommand(program, say);
  addTransferCommands(program, say);
  addDeleteCommand(program, say);
  addBackupCommands(program);
  addRepairCommand(program, say);
  program.commandsGroup('Training and studies:');
  addTrainCommand(program);
  addStudyCommand(program, say);
  addDataCommand(program, say);
  addModelCommands(program);
  program.commandsGroup('Setting up:');
  addPrepareCommands(program, say);
  addInfluxSetupCommand(program);
  return program;
}

/** Runs `plumbline` with the arguments of this process, and sets its exit code. */
export async function runProgram(): Promise<void> {
  // A hub survives when its output is closed: a closed terminal, `| head`.
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error;
    });

  try {
    await createProgram(say).parseAsync();
  } catch (error) {
    process.exitCode = exitCodeOf(error);
    // Commander has printed it already.
    if (!(error instanceof CommanderError)) sayError(fileTrouble(error) ?? error);
  }
}

function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
  return error instanceof UsageError ? exitCodes.usage : exitCodes.failed;
}
