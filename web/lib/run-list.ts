import type { RunId, RunSummary } from '@plumbline/shared/run';

/** The later of two summaries of a run. A run that was made anew under an id is another one, created later. */
function later(a: RunSummary, b: RunSummary | undefined): RunSummary {
  if (!b) return a;
  if (a.createdMs !== b.createdMs) return a.createdMs > b.createdMs ? a : b;
  return (b.revision ?? 0) > (a.revision ?? 0) ? b : a;
}

/**
 * All runs, from the hub's list and from what it says of single runs. Both may come in any order: what was heard while the
 * list was fetched is kept where the list does not have it, or has it as it was before.
 */
export class RunList {
  #listed: Map<RunId, RunSummary> | null = null;
  /** What was heard since the list was last asked for. */
  readonly #heard = new Map<RunId, RunSummary>();

  /** Null until the first list is there. */
  get runs(): RunSummary[] | null {
    return this.#listed && [...this.#listed.values()];
  }

  /** The list is about to be asked for. */
  asked(): void {
    this.#heard.clear();
  }

  /** The hub's list; runs that it does not have, and that were not heard of since it was asked for, are gone. */
  answered(all: readonly RunSummary[]): void {
    this.#listed = new Map(all.map((run) => [run.runId, run]));
    for (const run of this.#heard.values()) this.#put(run);
  }

  /** The hub says of a run how it is. */
  heard(run: RunSummary): void {
    this.#heard.set(run.runId, later(run, this.#heard.get(run.runId)));
    this.#put(run);
  }

  /** Leaves out runs that were deleted. */
  drop(isGone: (run: RunSummary) => boolean): void {
    for (const runs of [this.#listed, this.#heard])
      for (const [runId, run] of runs ?? []) if (isGone(run)) runs!.delete(runId);
  }

  #put(run: RunSummary): void {
    this.#listed?.set(run.runId, later(run, this.#listed.get(run.runId)));
  }
}
