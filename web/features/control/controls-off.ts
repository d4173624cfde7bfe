import { hasEnded, type RunSummary } from '@plumbline/shared/run';

/** Why a browser that may control a run cannot do so now; empty if it can. */
export function controlsOffWords(
  run: Pick<RunSummary, 'state' | 'trainerConnected'> | null,
  isHubDown: boolean,
): string {
  if (run && hasEnded(run.state))
    return isHubDown
      ? 'This run has ended. While the hub is unreachable, no branch can start from it.'
      : 'This run has ended. A checkpoint can be continued as a branch.';
  if (isHubDown) return 'The hub is unreachable; controls work again when it is back.';
  if (!run) return 'The run is being loaded.';
  if (run.state === 'created')
    return `The run is starting; controls work once ${run.trainerConnected ? 'it has begun' : 'the trainer is connected'}.`;
  return '';
}
