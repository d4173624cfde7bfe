import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import { hasEnded, type RunSummary } from '@plumbline/shared/run';

/**
 * Why a browser that may control a run cannot do so now; empty if it can.
 * @param hasCheckpoint whether the run saved a checkpoint that is still there; undefined while that is unknown
 */
export function controlsOffWords(
  run: Pick<RunSummary, 'state' | 'trainerConnected' | 'description'> | null,
  isHubDown: boolean,
  hasCheckpoint: boolean | undefined,
): string {
  if (run && hasEnded(run.state)) {
    const ended = 'This run has ended.';
    if (hasCheckpoint === undefined) return ended;
    if (!hasCheckpoint) return `${ended} It has no checkpoint.`;
    if (isHubDown) return `${ended} While the hub is unreachable, no branch can start from it.`;
    return builtInConfig(run.description)
      ? `${ended} A branch can start from a checkpoint that is on the hub's machine.`
      : `${ended} Its checkpoints are with its trainer: attach a branch from there with \`parent\`.`;
  }
  if (isHubDown) return 'The hub is unreachable; controls work again when it is back.';
  if (!run) return 'The run is being loaded.';
  if (run.state === 'created')
    return `The run is starting; controls work once ${run.trainerConnected ? 'it has begun' : 'the trainer is connected'}.`;
  return '';
}
