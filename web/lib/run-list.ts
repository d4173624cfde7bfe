import { withProgress } from '@plumbline/shared/run-progress';
import type { RunId, RunProgress, RunSummary } from '@plumbline/shared/run';
import type { ListedRun } from '@plumbline/shared/run-list';

/** The newer of two versions of a run. A run created again under the same id has a later creation time. */
function later(a: ListedRun, b: ListedRun | undefined): ListedRun {
  if (!b) return a;
  if (a.createdMs !== b.createdMs) return a.createdMs > b.createdMs ? a : b;
  const run = (b.revision ?? 0) > (a.revision ?? 0) ? b : a;
  const newer = (a.overview?.lastSeq ?? -1) >= (b.overview?.lastSeq ?? -1) ? a.overview : b.overview;
  return { ...run, overview: newer };
}

/**
 * Runs from the hub's list and from its messages about single runs. Both may come in any order. A message that arrives
 * while the list is fetched is kept if the list lacks the run or has an older version.
 */
export class RunList {
  #listed: Map<RunId, ListedRun> | null = null;
  /** Runs in messages since the list was last requested. */
  readonly #heard = new Map<RunId, ListedRun>();

  /** @param accepts whether a run in a message belongs to the list */
  constructor(readonly accepts: (run: RunSummary, list: RunList) => boolean = () => true) {}

  /** Null until the first list arrives. */
  get runs(): ListedRun[] | null {
    return this.#listed && [...this.#listed.values()];
  }

  has(runId: RunId): boolean {
    return this.#listed?.has(runId) ?? false;
  }

  /** Call this before the list is requested. */
  asked(): void {
    this.#heard.clear();
  }

  /** Takes the hub's list. Runs that are neither in it nor in a message since the request are gone. */
  answered(all: readonly ListedRun[]): void {
    const before = this.#listed;
    this.#listed = new Map();
    for (const run of all) this.#listed.set(run.runId, later(run, before?.get(run.runId)));
    for (const run of this.#heard.values()) this.#put(run);
  }

  /** Takes a further page of the hub's list. */
  added(page: readonly ListedRun[]): void {
    for (const run of page) this.#listed?.set(run.runId, later(run, this.#listed.get(run.runId)));
  }

  /** Takes the hub's answer to a request for single runs. Runs that it lacks are gone. */
  refreshed(asked: readonly RunSummary[], found: readonly ListedRun[]): void {
    const there = new Set(found.map(({ runId }) => runId));
    for (const { runId, createdMs } of asked)
      if (!there.has(runId) && this.#listed?.get(runId)?.createdMs === createdMs) this.#listed.delete(runId);
    for (const run of found) if (this.has(run.runId)) this.added([run]);
  }

  /** Takes a message about a run. */
  heard(summary: RunSummary): void {
    const run = { ...summary, overview: null };
    this.#heard.set(run.runId, later(run, this.#heard.get(run.runId)));
    this.#put(run);
  }

  /** Takes the progress of a run. An unknown run is ignored. */
  progressed(progress: RunProgress): void {
    for (const runs of [this.#listed, this.#heard]) {
      const run = runs?.get(progress.runId);
      if (run) runs!.set(run.runId, withProgress(run, progress));
    }
  }

  /** Removes deleted runs. */
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
