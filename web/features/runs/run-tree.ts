import { hasEnded, type RunSummary } from '@plumbline/shared/run';

export interface RunRowModel {
  run: RunSummary;
  /** The run it was branched from, where that is known. */
  parent: RunSummary | undefined;
  /** 0 for a run of its own, 1 for its branch, and so on. */
  depth: number;
}

/** When something last happened: a run under way is active now, and of several the newest most. */
const activity = (run: RunSummary): [isGoing: number, at: number] => [
  hasEnded(run.state) ? 0 : 1,
  hasEnded(run.state) ? (run.endedMs ?? run.startedMs ?? run.createdMs) : run.createdMs,
];

/** Runs with their branches below them; trees, and branches of one run, by the newest activity among them. */
export function orderRuns(runs: readonly RunSummary[]): RunRowModel[] {
  const byId = new Map<string, RunSummary>(runs.map((run) => [run.runId, run]));
  const branches = new Map<string, RunSummary[]>();
  const roots: RunSummary[] = [];
  for (const run of runs) {
    // A branch whose parent is gone stands on its own.
    if (run.parent && byId.has(run.parent.runId) && run.parent.runId !== run.runId) {
      const siblings = branches.get(run.parent.runId) ?? [];
      branches.set(run.parent.runId, [...siblings, run]);
    } else roots.push(run);
  }
  interface Tree {
    rows: RunRowModel[];
    newest: readonly [number, number];
  }
  const later = (a: readonly [number, number], b: readonly [number, number]): number => b[0] - a[0] || b[1] - a[1];
  const grow = (run: RunSummary, depth: number): Tree => {
    const children = forest(branches.get(run.runId) ?? [], depth + 1);
    const newest = [activity(run), ...children.map((child) => child.newest)].sort(later)[0]!;
    const parent = run.parent ? byId.get(run.parent.runId) : undefined;
    return { rows: [{ run, parent, depth }, ...children.flatMap(({ rows }) => rows)], newest };
  };
  const forest = (of: RunSummary[], depth: number): Tree[] =>
    of.map((run) => grow(run, depth)).sort((a, b) => later(a.newest, b.newest));
  return forest(roots, 0).flatMap(({ rows }) => rows);
}
