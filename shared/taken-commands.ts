import type { CommandAction, CommandKind } from './command.js';

/** A `stop` that has not ended the run for this long is overdue, as is one that expired. */
export const stopOverdueMs = 60_000;

/** The kind of command that the trainer must support; null for commands that the hub carries out. */
const takenAs: Record<CommandKind, CommandAction['kind'] | null> = {
  ...{ pause: 'pause', resume: 'resume', step_once: 'step_once', stop: 'stop', set_trainable: 'set_trainable' },
  ...{ set_learning_rate: 'set_learning_rate', lower_learning_rate: 'lower_learning_rate' },
  ...{ evaluate_now: 'evaluate_now', save_checkpoint: 'save_checkpoint' },
  ...{ restore_checkpoint: 'restore_checkpoint', restore_best_checkpoint: 'restore_checkpoint' },
  ...{ set_rules: null, end_run: null, notify: null },
};

/** Whether the trainer of a run takes a kind of command. A trainer that lists no kinds takes all. */
export function trainerTakes({ commands }: { commands?: readonly string[] | undefined }, kind: CommandKind): boolean {
  const needed = takenAs[kind];
  return commands === undefined || needed === null || commands.includes(needed);
}
