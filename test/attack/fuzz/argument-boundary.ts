import { Command, CommanderError } from 'commander';
import { readConfig } from '@plumbline/server/dist/config.js';
import { addDataCommand } from '@plumbline/server/dist/data-command.js';
import { addDeleteCommand } from '@plumbline/server/dist/delete-command.js';
import { addFindingsCommand } from '@plumbline/server/dist/findings-command.js';
import { addBackupCommands } from '@plumbline/server/dist/operations/backup-command.js';
import { addStudyCommand } from '@plumbline/server/dist/study-command.js';
import { addTrainCommand } from '@plumbline/server/dist/train-command.js';
import { addTransferCommands } from '@plumbline/server/dist/transfer-commands.js';
import { errorFault, ofValues, type OpenBoundary } from './boundary.js';
import { mutatedText, oddValue } from './mutation.js';

const lines = [
  ...[
    'export run-1 --format csv --out x --data-dir y',
    'import path --as run-2',
    'copy --from embedded --to influx run-1',
  ],
  ...['delete run-1 run-2 --yes', 'findings run-1 --json', 'data llava path --images x --limit 5 --to-llava y'],
  ...[
    'study file.yaml --jobs 2 --report-only',
    'train --hub http://x --token-file y --config {"steps":4}',
    'backup x',
    'restore x --data-dir y',
  ],
];
const settings = [
  ...[
    'PLUMBLINE_PORT',
    'PLUMBLINE_HOST',
    'PLUMBLINE_DATA_DIR',
    'PLUMBLINE_STORE',
    'PLUMBLINE_INFLUX_URL',
    'PLUMBLINE_REDIS_URL',
  ],
  ...[
    'PLUMBLINE_TRAINER_GRACE_MS',
    'PLUMBLINE_ALLOWED_HOSTS',
    'PLUMBLINE_PUE',
    'PLUMBLINE_WATTS_PER_CORE',
    'PLUMBLINE_WEBHOOK_SECRET',
  ],
] as const;

/** The program's commands as they are, which parse their arguments and then do nothing. */
function program(): Command {
  const made = new Command('plumbline');
  const say = (): void => undefined;
  for (const add of [addTransferCommands, addDeleteCommand, addFindingsCommand, addStudyCommand, addDataCommand])
    add(made, say);
  addTrainCommand(made);
  addBackupCommands(made);
  for (const command of [made, ...made.commands])
    command.exitOverride().configureOutput({ writeOut: say, writeErr: say }).action(say);
  return made;
}

function argumentFault(words: readonly string[]): string | null {
  try {
    program().parse(words, { from: 'user' });
    return null;
  } catch (error) {
    if (error instanceof CommanderError) return null;
    return errorFault(error);
  }
}

function settingFault(flags: Record<string, string>): string | null {
  try {
    readConfig(flags);
    return null;
  } catch (error) {
    return errorFault(error);
  }
}

export const argumentBoundaries: Record<string, OpenBoundary> = {
  'command line': ofValues(
    (rng) =>
      rng.integer(3) === 0
        ? { flags: { [rng.pick(settings)]: String(oddValue(rng, 9)) } }
        : { words: mutatedText(rng, rng.pick(lines)).split(' ') },
    (value) => {
      const { words, flags } = value as { words?: string[]; flags?: Record<string, string> };
      return words ? argumentFault(words) : settingFault(flags!);
    },
  ),
};
