import type { DeletedRun } from './http.js';
import { hasEnded, type RunId, type RunSummary } from './run.js';

type Known = Pick<RunSummary, 'runId' | 'parent' | 'state'>;
type Dated = Known & Pick<RunSummary, 'createdMs'>;

/** The runs to delete, in a valid order, and the runs that stay, each with the reason. */
export interface DeletionPlan<R> {
  goes: R[];
  stays: { run: R; why: string }[];
}

/** Whether a run descends from another. It terminates for a cycle of parents, which a trainer may claim. */
function comesFrom(run: Known, ancestorId: RunId, byId: ReadonlyMap<RunId, Known>): boolean {
  const seen = new Set<RunId>();
  for (let at: Known | undefined = run; at?.parent && !seen.has(at.runId); at = byId.get(at.parent.runId)) {
    if (at.parent.runId === ancestorId) return true;
    seen.add(at.runId);
  }
  return false;
}

/**
 * Why a run cannot be deleted, and what to do first; null if it can.
 * A run with branches stays. Their pages draw its curves under theirs, its commands say what they train and how fast, and
 * its values decide the state of their guard rules. Without it, their pages would be wrong.
 * @param runs all runs, among them its branches
 */
export function whyNotDelete(run: Known, runs: readonly Known[]): string | null {
  if (!hasEnded(run.state)) return `The run ${run.runId} has not ended (${run.state}). Stop it first, then delete it.`;
  const named = runs.filter(({ runId, parent }) => parent?.runId === run.runId && runId !== run.runId);
  const byId = new Map(named.length > 0 ? runs.map((each) => [each.runId, each]) : []);
  const branches = named.filter(({ runId }) => !comesFrom(run, runId, byId));
  if (branches.length === 0) return null;
  const names = branches.map(({ runId, state }) => (hasEnded(state) ? runId : `${runId} (${state})`)).join(', ');
  const [have, these, all] =
    branches.length === 1
      ? ['a branch that goes on from it', 'that', 'both']
      : ['branches that go on from it', 'these', 'all'];
  const first = branches.every(({ state }) => hasEnded(state))
    ? `Delete ${these} first, or ${all} together.`
    : `Stop and delete ${these} first.`;
  return `The run ${run.runId} has ${have}: ${names}. ${first}`;
}

/**
 * Plans the deletion of several runs: branches before their parents, otherwise the newest first.
 * @param chosen some of `runs`, in any order
 * @param runs all runs
 */
export function planDeletion<R extends Dated>(chosen: readonly R[], runs: readonly Known[]): DeletionPlan<R> {
  const goes: R[] = [];
  const stays: DeletionPlan<R>['stays'] = [];
  const byId = new Map(runs.map((run) => [run.runId, run]));
  /** The number of branches of each run. */
  const branches = new Map<RunId, number>();
  const parentOf = ({ runId, parent }: Known): RunId | null => {
    const from = parent && parent.runId !== runId ? byId.get(parent.runId) : undefined;
    return from && !comesFrom(from, runId, byId) ? from.runId : null;
  };
  const count = (run: Known, by: number): void => {
    const parent = parentOf(run);
    if (parent !== null) branches.set(parent, (branches.get(parent) ?? 0) + by);
  };
  for (const run of runs) count(run, 1);
  // Deletes the runs without branches, which may free their parents.
  for (let waiting = [...chosen].sort(newestFirst); waiting.length > 0;) {
    const next = waiting.filter(({ runId, state }) => hasEnded(state) && !branches.get(runId));
    if (next.length === 0) {
      const gone = new Set(goes.map(({ runId }) => runId));
      const left = runs.filter(({ runId }) => !gone.has(runId));
      stays.push(...waiting.map((run) => ({ run, why: whyNotDelete(run, left)! })));
      break;
    }
    goes.push(...next);
    for (const run of next) count(run, -1);
    const going = new Set(next);
    waiting = waiting.filter((run) => !going.has(run));
  }
  return { goes, stays };
}

const newestFirst = (a: Dated, b: Dated): number => b.createdMs - a.createdMs || (a.runId < b.runId ? -1 : 1);

/** What was deleted with runs: `6,120 events, 12.4 MB of checkpoints and logs`. */
export function goneWords({ events, bytes }: Pick<DeletedRun, 'events' | 'bytes'>): string {
  const files = bytes === 0 ? 'no checkpoints or logs' : `${(bytes / 1e6).toFixed(1)} MB of checkpoints and logs`;
  return `${events.toLocaleString('en-US')} ${events === 1 ? 'event' : 'events'}, ${files}`;
}
