import { hasEnded, type RunSummary } from '@plumbline/shared/run';

export interface RunRowModel<R extends RunSummary = RunSummary> {
  run: R;
  /** The run it was branched from, if known. */
  parent: R | undefined;
  /** 0 for a run of its own, 1 for its branch, and so on. */
  depth: number;
}

/** The time of the last activity. A run under way is active now; among several, the newest counts most. */
const activity = (run: RunSummary): [isGoing: number, at: number] => [
  hasEnded(run.state) ? 0 : 1,
  hasEnded(run.state) ? (run.endedMs ?? run.startedMs ?? run.createdMs) : run.createdMs,
];

type Activity = readonly [isGoing: number, at: number];
const later = (a: Activity, b: Activity): number => b[0] - a[0] || b[1] - a[1];

/** Runs with their branches below them. Trees and the branches of a run are sorted by the newest activity in them. */
export function orderRuns<R extends RunSummary>(runs: readonly R[]): RunRowModel<R>[] {
  const byId = new Map<string, R>(runs.map((run) => [run.runId, run]));
  const parentOf = (run: R): R | undefined => (run.parent ? byId.get(run.parent.runId) : undefined);
  const branches = new Map<R, R[]>();
  for (const run of runs) {
    const parent = parentOf(run);
    if (!parent) continue;
    const siblings = branches.get(parent);
    if (siblings) siblings.push(run);
    else branches.set(parent, [run]);
  }
  // Chains of branches may be long: this does not recurse.
  const depths = new Map<R, number>();
  const roots: R[] = [];
  const visit = (root: R): void => {
    if (depths.has(root)) return;
    roots.push(root);
    const waiting: [R, number][] = [[root, 0]];
    for (let next = waiting.pop(); next; next = waiting.pop()) {
      const [run, depth] = next;
      if (depths.has(run)) continue;
      depths.set(run, depth);
      for (const branch of branches.get(run) ?? []) waiting.push([branch, depth + 1]);
    }
  };
  // A branch without its parent stands on its own.
  for (const run of runs) if (!parentOf(run)) visit(run);
  // If stored runs name each other as parents in a circle, the eldest counts as the first.
  for (const run of [...runs].sort((a, b) => a.createdMs - b.createdMs)) visit(run);

  const isRoot = new Set(roots);
  const below = (run: R): R[] => (branches.get(run) ?? []).filter((branch) => !isRoot.has(branch));
  const newest = new Map<R, Activity>();
  // Branches were visited after their parents.
  for (const run of [...depths.keys()].reverse())
    newest.set(run, [activity(run), ...below(run).map((branch) => newest.get(branch)!)].sort(later)[0]!);
  const newestLast = (some: R[]): R[] => some.sort((a, b) => later(newest.get(a)!, newest.get(b)!)).reverse();
  const rows: RunRowModel<R>[] = [];
  const waiting = newestLast(roots);
  for (let run = waiting.pop(); run; run = waiting.pop()) {
    rows.push({ run, parent: parentOf(run), depth: depths.get(run)! });
    waiting.push(...newestLast(below(run)));
  }
  return rows;
}
