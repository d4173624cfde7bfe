import type { RunId, RunParent, RunSummary } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { Refusal } from './refusal.js';

/**
 * Refuses a branch that would be its own ancestor.
 * @param find a run by its id
 * @throws Refusal `invalid`
 */
export function refuseCircle(
  runId: RunId,
  parent: RunParent,
  find: (runId: RunId) => Pick<RunSummary, 'runId' | 'parent'> | null,
): void {
  const seen = new Set<RunId>();
  // Stored runs may form a cycle: visits each run once.
  for (let at: RunParent | null | undefined = parent; at && !seen.has(at.runId); at = find(at.runId)?.parent) {
    if (at.runId === runId)
      throw new Refusal(
        'invalid',
        runId === parent.runId
          ? `The run ${runId} cannot go on from itself. Name the run that saved the checkpoint as its parent.`
          : `The run ${runId} cannot go on from ${parent.runId}, which goes on from ${runId}. Give it an id of its own.`,
      );
    seen.add(at.runId);
  }
}

/**
 * Refuses a branch from a checkpoint that its parent never saved. A checkpoint removed since is valid: the trainer may have
 * read it before.
 * @param events all control events of the parent
 * @throws Refusal `invalid`
 */
export function refuseUnknownCheckpoint(
  { runId, checkpointId, step }: RunParent,
  events: readonly ControlEvent[],
): void {
  const saves = events.filter((event) => event.type === 'checkpoint_saved' && event.checkpointId === checkpointId);
  if (saves.some((event) => event.step === step)) return;
  const at = [...new Set(saves.map((event) => event.step))].join(', ');
  throw new Refusal(
    'invalid',
    saves.length === 0
      ? `The run ${runId} has saved no checkpoint ${checkpointId}. Name one of those that it has saved.`
      : `The run ${runId} saved ${checkpointId} at step ${at}, not ${step}. Give the step of the checkpoint.`,
  );
}
