import { trainerTakes } from '@plumbline/shared/taken-commands';
import type { CommandKind, CommandRecord } from '@plumbline/shared/command';
import { hasEnded, type RunState } from '@plumbline/shared/run';

const notPaused = 'The run is not paused; pause it first.';
/** The kinds that a state does not allow, with the reason. All others are allowed until the run ends. */
const refused: Record<'created' | 'running' | 'paused', Partial<Record<CommandKind, string>>> = {
  created: {
    resume: notPaused,
    step_once: notPaused,
    restore_checkpoint: 'The run has not started yet.',
    restore_best_checkpoint: 'The run has not started yet.',
  },
  running: { resume: 'The run is not paused.', step_once: notPaused },
  paused: { pause: 'The run is paused already.' },
};

/**
 * Why a run in this state cannot take this kind of command; `null` when it can.
 * @param isBuiltIn whether its trainer is the built-in one, whose checkpoints the hub can start a new run from
 */
export function refusalReason(kind: CommandKind, state: RunState, isBuiltIn: boolean): string | null {
  // A notification is allowed in every state.
  if (kind === 'notify') return null;
  if (state === 'created' || state === 'running' || state === 'paused') return refused[state][kind] ?? null;
  const ended = `The run has ended (${state})`;
  if (kind !== 'restore_checkpoint' && kind !== 'restore_best_checkpoint')
    return `${ended}; it takes no more commands.`;
  return isBuiltIn
    ? `${ended}. If one of its checkpoints is on the hub's machine, start a new run from it instead.`
    : `${ended}. Its checkpoints, if it saved any, are with its trainer: attach a branch from there with \`parent\`.`;
}

/** The state of a run once its open commands are done: resuming right after pausing is valid. */
export function expectedState(now: RunState, open: readonly CommandRecord[]): RunState {
  return open.reduce<RunState>((state, { action }) => {
    if (action.kind === 'pause' && !hasEnded(state)) return 'paused';
    if (action.kind === 'resume' && state === 'paused') return 'running';
    return state;
  }, now);
}

/** Why a command that was open when its run ended has failed. */
export const endedBefore = (state: RunState): string => `The run ended (${state}) before it took effect.`;

/** Why a trainer that takes these kinds only does not take this one; null when it does. */
export function untakenReason(kind: CommandKind, taken: readonly string[] | undefined): string | null {
  if (trainerTakes({ commands: taken }, kind)) return null;
  return `This trainer does not take ${kind}; it takes ${taken!.length === 0 ? 'no commands' : taken!.join(', ')}.`;
}
