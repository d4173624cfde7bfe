import type { Command } from 'commander';
import type { CommandRecord } from '@plumbline/shared/command';
import { changesNothing, settingKinds } from '@plumbline/shared/command-change';
import { fourDigits } from '@plumbline/shared/metric';
import { visibleLine } from '@plumbline/shared/plain-text';
import type { RunId } from '@plumbline/shared/run';
import { checkpointsOf, eventsInForce } from '@plumbline/shared/segments';
import { describeSelection } from '@plumbline/shared/selection';
import type { CheckpointSaved, ControlEvent } from '@plumbline/shared/trainer-event';
import type { HubApi } from '../hub-api.js';
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
      const hub = hubOf(flags);
      const { runId } = await findRun(hub, text);
      const checkpoint = await checkpointOf(hub, runId, name);
      const action = { kind: 'restore_checkpoint', checkpointId: checkpoint.checkpointId } as const;
      const { state } = await give(hub, runId, action, flags, say);
      if (state !== 'applied' || flags.json) return;
      const { events } = await hub.controlEvents(runId);
      for (const line of undoneLines(checkpoint, events, await hub.commands(runId))) say(line);
    });
}

/** @throws UsageError that lists the run's checkpoints, where none or an unknown one is named */
async function checkpointOf(hub: HubApi, runId: RunId, name: string | undefined): Promise<CheckpointSaved> {
  const checkpoints = checkpointsOf((await hub.controlEvents(runId)).events);
  const found = checkpoints.find(({ checkpointId }) => checkpointId === name);
  if (found) return found;
  const problem =
    name === undefined
      ? 'Name the checkpoint too: plumbline restore RUN CHECKPOINT. (A backup is restored with restore-backup.)'
      : visibleLine(`The run ${runId} has no checkpoint ${name}.`);
  const list = checkpoints.map(({ checkpointId }) => checkpointId).join(', ');
  throw new UsageError(`${problem} ${list === '' ? 'It has no checkpoint.' : `It has ${list}.`}`);
}

/**
 * The changes of what is trained, and how fast, that going back to a checkpoint undoes, by the command log: trainers need
 * not report them with `restore_checkpoint`.
 * @param events all of the run's control events, ascending by seq
 */
export function undoneLines(
  { seq }: CheckpointSaved,
  events: readonly ControlEvent[],
  commands: readonly CommandRecord[],
): string[] {
  const later = new Set(
    eventsInForce(events).flatMap((event) =>
      event.type === 'command_applied' && event.seq > seq ? [event.commandId] : [],
    ),
  );
  const kinds = new Set<string>(settingKinds);
  return commands
    .filter((record) => later.has(record.commandId) && kinds.has(record.action.kind) && !changesNothing(record))
    .map(({ action, step }) => visibleLine(`undoes: ${settingWords(action)} (step ${step})`));
}

function settingWords(action: CommandRecord['action']): string {
  switch (action.kind) {
    case 'set_trainable':
      return `train ${describeSelection(action.selection)}`;
    case 'set_learning_rate':
      return `learning rate ${fourDigits(action.learningRate)}`;
    case 'lower_learning_rate':
      return `learning rate × ${fourDigits(action.factor)}`;
    default:
      return action.kind.replaceAll('_', ' ');
  }
}
