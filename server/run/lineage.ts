import type { RunId, RunParent, RunSummary } from '@plumbline/shared/run';
import { checkpointTypes } from '@plumbline/shared/segments';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { EventStore } from '../store/event-store.js';
import { singleHub, type Cluster } from './cluster.js';
import { controlEventsOf } from './control-events.js';
import { Refusal } from './refusal.js';
import type { Run } from './run.js';

export interface ParentsOptions {
  store: EventStore;
  cluster: Cluster;
  /** The owner of a run id, whether the run exists or not. */
  owner: (runId: RunId) => Run;
  /** A run, if it has been read so far. */
  find: (runId: RunId) => RunSummary | null;
}

/** The runs that new runs branch from. */
export class Parents {
  constructor(readonly options: ParentsOptions) {}

  /**
   * Checks that a new run may branch from another, and holds off the parent's deletion.
   * @returns releases the parent
   * @throws Refusal see RunRegistry.attach
   */
  async hold(runId: RunId, parent: RunParent): Promise<() => void> {
    const { store, cluster, owner, find } = this.options;
    const from = owner(parent.runId);
    refuseCircle(runId, parent, find);
    if (!from.summary && !(await from.lookUp())) {
      if ((await store.deletedRuns()).includes(parent.runId))
        throw new Refusal(
          'conflict',
          `The run ${parent.runId}, which this is a branch of, was deleted. Start a new run.`,
        );
      throw new Refusal(
        'not_found',
        `There is no run ${parent.runId} to go on from. Name the run that saved the checkpoint as the parent, or none.`,
        // Its hub may be the only one that knows of it yet.
        { retry: cluster !== singleHub },
      );
    }
    const release = await from.hold();
    try {
      const { events, lastSeq } = await controlEventsOf(store, parent.runId, { types: checkpointTypes });
      // Events that another hub acknowledged may not be readable yet: then the checkpoint cannot be checked.
      if (lastSeq >= (from.summary?.lastSeq ?? 0)) refuseUnknownCheckpoint(parent, events);
      return release;
    } catch (error) {
      release();
      throw error;
    }
  }
}

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
