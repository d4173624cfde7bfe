import type { Command } from 'commander';
import { CheckpointId } from '@plumbline/shared/run';
import { UsageError } from '../usage-error.js';
import { give, withGiveOptions, type GiveFlags } from './give-command.js';
import { findRun, hubOf } from './hub.js';

/** `plumbline restore RUN CHECKPOINT`. */
export function addRestoreCommand(program: Command, say: (line: string) => void): void {
  withGiveOptions(
    program
      .command('restore')
      .description(
        'go back to a checkpoint, with what was trained then and how fast: the run ends and goes on from there as a branch',
      )
      .argument('<run>', 'id of the run, or the beginning of it')
      .argument('[checkpoint]', 'e.g. step-000400; `plumbline show RUN` lists them'),
  )
    .addHelpText('after', '\nA backup is made a data folder again with `plumbline restore-backup`.')
    .action(async (text: string, name: string | undefined, flags: GiveFlags) => {
      if (name === undefined)
        throw new UsageError(
          'Name the checkpoint too: plumbline restore RUN CHECKPOINT. (A backup is restored with restore-backup.)',
        );
      const checkpointId = CheckpointId.safeParse(name);
      if (!checkpointId.success)
        throw new UsageError('A checkpoint is named like step-000400; `plumbline show RUN` lists them.');
      const hub = hubOf(flags);
      const { runId } = await findRun(hub, text);
      await give(hub, runId, { kind: 'restore_checkpoint', checkpointId: checkpointId.data }, flags, say);
    });
}
