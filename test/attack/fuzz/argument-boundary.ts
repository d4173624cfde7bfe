import { CommanderError, type Command } from 'commander';
import { readConfig } from '@plumbline/server/dist/config.js';
import { createProgram } from '@plumbline/server/dist/cli/program.js';
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
    'restore-backup x --data-dir y',
  ],
  ...[
    'runs --state running --limit 5 --json',
    'watch run-1 --hub http://x --token-file y',
    'freeze run-1 --pattern *.mlp.* --preview',
    'lr run-1 1e-4 --no-wait',
    'restore run-1 step-2',
    'rules run-1 --set file.json',
    'repair --accept-loss',
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

/** The program's real commands, which parse their arguments and then do nothing. */
function program(): Command {
  const say = (): void => undefined;
  const made = createProgram(say);
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
