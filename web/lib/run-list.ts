import { withProgress, type RunId, type RunProgress, type RunSummary } from '@plumbline/shared/run';
import type { ListedRun } from '@plumbline/shared/run-list';

/** The later of two words of a run. A run that was made anew under an id is another one, created later. */
function later(a: ListedRun, b: ListedRun | undefined): ListedRun {
  if (!b) return a;
  if (a.createdMs !== b.createdMs) return a.createdMs > b.createdMs ? a : b;
  const run = (b.revision ?? 0) > (a.revision ?? 0) ? b : a;
  const newer = (a.overview?.lastSeq ?? -1) >= (b.overview?.lastSeq ?? -1) ? a.overview : b.overview;
  return { ...run, overview: newer };
}

/**
 * Runs, from the hub's list and from what it says of single runs. Both may come in any order: what was heard while the
 * list was fetched is kept where the list does not have it, or has it as it was before.
 */
export class RunList {
  #listed: Map<RunId, ListedRun> | null = null;
  /** What was heard since the list was last asked for. */
  readonly #heard = new Map<RunId, ListedRun>();

  /** @param accepts whether a run that is heard of belongs to the list */
  constructor(readonly accepts: (run: RunSummary, list: RunList) => boolean = () => true) {}

  /** Null until the first list is there. */
  get runs(): ListedRun[] | null {
    return this.#listed && [...this.#listed.values()];
  }

  has(runId: RunId): boolean {
    return this.#listed?.has(runId) ?? false;
  }

  /** The list is about to be asked for. */
  asked(): void {
    this.#heard.clear();
  }

  /** The hub's list; runs that it does not have, and that were not heard of since it was asked for, are gone. */
  answered(all: readonly ListedRun[]): void {
    const before = this.#listed;
    this.#listed = new Map();
    for (const run of all) this.#listed.set(run.runId, later(run, before?.get(run.runId)));
    for (const run of this.#heard.values()) this.#put(run);
  }

  /** A further page of the hub's list. */
  added(page: readonly ListedRun[]): void {
    for (const run of page) this.#listed?.set(run.runId, later(run, this.#listed.get(run.runId)));
  }

  /** The hub's answer to a question for single runs: those that it does not have are gone. */
  refreshed(asked: readonly RunSummary[], found: readonly ListedRun[]): void {
    const there = new Set(found.map(({ runId }) => runId));
    for (const { runId, createdMs } of asked)
      if (!there.has(runId) && this.#listed?.get(runId)?.createdMs === createdMs) this.#listed.delete(runId);
    for (const run of found) if (this.has(run.runId)) this.added([run]);
  }

  /** The hub says of a run how it is. */
  heard(summary: RunSummary): void {
    const run = { ...summary, overview: null };
    this.#heard.set(run.runId, later(run, this.#heard.get(run.runId)));
    this.#put(run);
  }

  /** The hub says how far a run has come. Of a run that is not known it says nothing. */
  progressed(progress: RunProgress): void {
    for (const runs of [this.#listed, this.#heard]) {
      const run = runs?.get(progress.runId);
      if (run) runs!.set(run.runId, withProgress(run, progress));
    }
  }

  /** Leaves out runs that were deleted. */
  drop(isGone: (run: RunSummary) => boolean): void {
    for (const runs of [this.#listed, this.#heard])
      for (const [runId, run] of runs ?? []) if (isGone(run)) runs!.delete(runId);
  }

  #put(run: ListedRun): void {
    if (!this.#listed) return;
    const now = later(run, this.#listed.get(run.runId));
    if (this.accepts(now, this)) this.#listed.set(run.runId, now);
    else this.#listed.delete(run.runId);
  }
}
