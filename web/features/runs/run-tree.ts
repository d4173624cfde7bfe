import type { RunSummary } from '@plumbline/shared/run';

export interface RunRowModel {
  run: RunSummary;
  /** 0 for a run of its own, 1 for its branch, and so on. */
  depth: number;
}

/** Runs newest first, each followed by its branches in the order they were opened. */
export function orderRuns(runs: readonly RunSummary[]): RunRowModel[] {
  const known = new Set(runs.map((run) => run.runId));
  const branches = new Map<string, RunSummary[]>();
  const roots: RunSummary[] = [];
  for (const run of runs) {
    // A branch whose parent is gone stands on its own.
    if (run.parent && known.has(run.parent.runId) && run.parent.runId !== run.runId) {
      const siblings = branches.get(run.parent.runId) ?? [];
      branches.set(run.parent.runId, [...siblings, run]);
    } else roots.push(run);
  }
  const rows: RunRowModel[] = [];
  const add = (run: RunSummary, depth: number): void => {
    rows.push({ run, depth });
    const children = (branches.get(run.runId) ?? []).sort((a, b) => a.createdMs - b.createdMs);
    for (const child of children) add(child, depth + 1);
  };
  for (const root of roots.sort((a, b) => b.createdMs - a.createdMs)) add(root, 0);
  return rows;
}
