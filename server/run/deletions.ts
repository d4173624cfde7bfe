import { setTimeout as sleep } from 'node:timers/promises';
import { whyNotDelete } from '@plumbline/shared/deletion';
import type { DeletedRun } from '@plumbline/shared/http';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { EventStore, SharedStore } from '../store/event-store.js';
import { singleHub, type Cluster, type DeletedOne } from './cluster.js';
import { Refusal } from './refusal.js';
import { removeRunFolder } from './run-folder.js';
import type { Run } from './run.js';

/** How long a deletion waits for a trainer after its last word, and for the hub that records the end. */
const settleMs = 5_000;
const lookMs = 50;
/** The interval of checks for deletions by other hubs that this hub did not hear of. */
const unheardMs = 60_000;

export interface DeletionOptions {
  store: EventStore;
  shared: SharedStore | null;
  cluster: Cluster;
  dataDir: string;
  /** All known runs. */
  summaries: () => RunSummary[];
  /** A run, if it is known. */
  find: (runId: RunId) => RunSummary | null;
  /** The owner of a run id. */
  owner: (runId: RunId) => Run;
  onDeleted: (run: DeletedOne, by: string | null) => void;
  /** The leftovers of a deleted run were removed from this hub's folders. */
  onCleared: (runId: RunId, bytes: number) => void;
  onError: (error: unknown) => void;
}

/**
 * Deletes ended runs. It deletes from the store first, which also records the deletion: from then on no page shows the run.
 * It removes the folder after that. A folder that remains, after a crash or at a hub that was down, is removed when that hub
 * starts. In the other order a run with missing checkpoints could still be shown.
 */
export class Deletions {
  /** Deleted runs whose leftovers could not be removed yet, by creation time. */
  readonly #uncleared = new Map<RunId, number | null>();
  #looking: NodeJS.Timeout | undefined;

  constructor(readonly options: DeletionOptions) {}

  /**
   * @param by who deletes it, for whoever listens
   * @returns what went with it
   * @throws Refusal `conflict` when it has not ended, has branches or is not let go of in time; `internal` when its folder
   *   could not be removed, with the run deleted all the same
   */
  async delete(run: Run, by: string): Promise<DeletedRun> {
    const check = (summary: RunSummary): void => this.#refuse(summary, this.options.summaries());
    if (run.summary) check(run.summary);
    const endMs = performance.now() + settleMs;
    for (;;) {
      const deleted = await run.deleteWith(check, (summary) => this.#delete(run, summary, by));
      if (deleted) return deleted;
      if (performance.now() > endMs)
        throw new Refusal(
          'conflict',
          `Something is still at work on ${run.runId}: its trainer, an export, or a notification that another hub ` +
            'delivers. Delete the run when that is over.',
          { retry: true },
        );
      await sleep(lookMs);
    }
  }

  async #delete(run: Run, summary: RunSummary, by: string): Promise<DeletedRun> {
    const { runId, lastSeq: events } = summary;
    const { store, cluster, dataDir, summaries, onDeleted } = this.options;
    // Another hub may have opened a branch that it has not announced yet.
    if (cluster !== singleHub) this.#refuse(summary, [...(await store.runs()), ...summaries()]);
    await store.deleteRun(runId);
    run.core.forgetDeleted();
    onDeleted(summary, by);
    cluster.tellDeleted(summary);
    const bytes = await removeRunFolder(dataDir, runId).catch((error: unknown) => {
      const cause = error instanceof Error ? error.message : String(error);
      throw new Refusal(
        'internal',
        `The run ${runId} is deleted, but its folder could not be removed (${cause}). The hub tries again when it is started.`,
        { retry: false },
      );
    });
    return { runId, events, bytes };
  }

  /** @param runs the runs to search for its branches */
  #refuse(run: RunSummary, runs: readonly Pick<RunSummary, 'runId' | 'parent' | 'state'>[]): void {
    const why = whyNotDelete(run, runs);
    if (why !== null) throw new Refusal('conflict', why);
  }

  /** Another hub has deleted a run. */
  async heard(deleted: DeletedOne): Promise<void> {
    const { runId, createdMs } = deleted;
    if (await this.options.owner(runId).heardDeleted(deleted)) await this.found({ runId, createdMs });
  }

  /** A run was found to be deleted. */
  async found({ runId, createdMs }: DeletedOne): Promise<void> {
    this.options.onDeleted({ runId, createdMs }, null);
    await this.#clear(runId, createdMs);
  }

  /** Finishes the deletions that were unfinished when this hub stopped, and those that it missed meanwhile. */
  async finish(): Promise<void> {
    const { store, cluster, find, onError } = this.options;
    if (cluster !== singleHub)
      this.#looking ??= setInterval(() => void this.#lookForUnheard().catch(onError), unheardMs).unref();
    for (const runId of await store.deletedRuns()) if (!find(runId)) await this.#clear(runId, null).catch(onError);
    if (cluster !== singleHub) await this.#lookForUnheard();
  }

  /** Ends all checks. */
  close(): void {
    clearInterval(this.#looking);
  }

  /** Forgets runs whose deletion by other hubs this hub missed: while Redis was down, or they crashed. */
  async #lookForUnheard(): Promise<void> {
    const { store, find, onError } = this.options;
    for (const runId of await store.deletedRuns()) {
      const summary = find(runId);
      // A new run under its id is in the store before this hub knows it.
      if (summary && !(await store.run(runId))) await this.heard(summary);
    }
    for (const [runId, createdMs] of this.#uncleared) await this.#clear(runId, createdMs).catch(onError);
  }

  /** Removes what only this hub has of a deleted run: its folder, and its undelivered events. */
  async #clear(runId: RunId, createdMs: number | null): Promise<void> {
    const { shared, dataDir, find, onCleared } = this.options;
    this.#uncleared.set(runId, createdMs);
    // No retry: the folder may belong to a new run under its id by then.
    const bytes = find(runId) ? 0 : await removeRunFolder(dataDir, runId);
    if (bytes > 0) onCleared(runId, bytes);
    if (shared && (await shared.undelivered()).includes(runId)) await shared.deleteRest(runId, createdMs);
    shared?.forget(runId);
    this.#uncleared.delete(runId);
  }
}
