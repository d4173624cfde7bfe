import type { DeletedRun } from './http.js';
import { hasEnded, type RunId, type RunSummary } from './run.js';

type Known = Pick<RunSummary, 'runId' | 'parent' | 'state'>;
type Dated = Known & Pick<RunSummary, 'createdMs'>;

/** What is to be deleted of some runs, in an order in which it can be, and what stays, each with the reason. */
export interface DeletionPlan<R> {
  goes: R[];
  stays: { run: R; why: string }[];
}

/** Whether a run was branched, through however many branches, from another; a circle, which a trainer may claim, ends. */
function comesFrom(run: Known, ancestorId: RunId, byId: ReadonlyMap<RunId, Known>): boolean {
  const seen = new Set<RunId>();
  for (let at: Known | undefined = run; at?.parent && !seen.has(at.runId); at = byId.get(at.parent.runId)) {
    if (at.parent.runId === ancestorId) return true;
    seen.add(at.runId);
  }
  return false;
}

/**
 * Why a run cannot be deleted, and what to do first; null when it can.
 * A run that has branches stays: their pages draw its course beneath theirs, what they train and how fast is told by its
 * commands, and their guard rules stand as its values left them. Without it they would tell something else than was.
 * @param runs all runs, to find its branches among
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
 * Plans the deletion of several runs: branches before what they were branched from, and otherwise the newest first.
 * @param chosen some of `runs`, in any order
 * @param runs all runs
 */
export function planDeletion<R extends Dated>(chosen: readonly R[], runs: readonly Known[]): DeletionPlan<R> {
  const goes: R[] = [];
  const stays: DeletionPlan<R>['stays'] = [];
  const byId = new Map(runs.map((run) => [run.runId, run]));
  /** By run, how many branches go on from it. */
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
  // Whatever nothing goes on from goes, and with it perhaps what kept others.
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

/** What went with runs: `6,120 events, 12.4 MB of checkpoints and logs`. */
export function goneWords({ events, bytes }: Pick<DeletedRun, 'events' | 'bytes'>): string {
  const files = bytes === 0 ? 'no checkpoints or logs' : `${(bytes / 1e6).toFixed(1)} MB of checkpoints and logs`;
  return `${events.toLocaleString('en-US')} ${events === 1 ? 'event' : 'events'}, ${files}`;
}
