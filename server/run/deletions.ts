import { setTimeout as sleep } from 'node:timers/promises';
import { whyNotDelete } from '@plumbline/shared/deletion';
import type { DeletedRun } from '@plumbline/shared/http';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { EventStore, SharedStore } from '../store/event-store.js';
import { singleHub, type Cluster, type DeletedOne } from './cluster.js';
import { Refusal } from './refusal.js';
import { removeRunFolder } from './run-folder.js';
import type { Run } from './run.js';

/** How long a trainer that has just said its last word, and the hub that writes down what follows, are waited for. */
const settleMs = 5_000;
const lookMs = 50;
/** How often runs are looked for that another hub has deleted without being heard. */
const unheardMs = 60_000;

export interface DeletionOptions {
  store: EventStore;
  shared: SharedStore | null;
  cluster: Cluster;
  dataDir: string;
  /** All runs that are known. */
  summaries: () => RunSummary[];
  /** A run, as far as it is known. */
  find: (runId: RunId) => RunSummary | null;
  /** The owner of a run id. */
  owner: (runId: RunId) => Run;
  onDeleted: (run: DeletedOne, by: string | null) => void;
  /** What was left of a deleted run in this hub's folders is removed. */
  onCleared: (runId: RunId, bytes: number) => void;
  onError: (error: unknown) => void;
}

/**
 * Deletes runs that have ended. The store comes first: from then on a run is shown nowhere, and it is noted there that it
 * was deleted. Its folder comes after; should that be left, in a crash or because it cannot be removed, or lie with a hub
 * that was away, it is removed when that hub starts. The other way round a run would be shown whole whose checkpoints are
 * gone in part.
 */
export class Deletions {
  /** Those of which something may still be here, because that could not be cleared away; by when they were created. */
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
    // A branch that another hub has begun a moment ago may not have been told of yet.
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

  /** @param runs among which there may be branches of it */
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

  /** Goes on with what was left when this hub ended, and does what it did not hear of meanwhile. */
  async finish(): Promise<void> {
    const { store, cluster, find, onError } = this.options;
    if (cluster !== singleHub)
      this.#looking ??= setInterval(() => void this.#lookForUnheard().catch(onError), unheardMs).unref();
    for (const runId of await store.deletedRuns()) if (!find(runId)) await this.#clear(runId, null).catch(onError);
    if (cluster !== singleHub) await this.#lookForUnheard();
  }

  /** Ends all looking. */
  close(): void {
    clearInterval(this.#looking);
  }

  /** Forgets the runs that other hubs have deleted without this one hearing: while Redis was gone, or they crashed. */
  async #lookForUnheard(): Promise<void> {
    const { store, find, onError } = this.options;
    for (const runId of await store.deletedRuns()) {
      const summary = find(runId);
      // A new one under its id is in the store before it is known here.
      if (summary && !(await store.run(runId))) await this.heard(summary);
    }
    for (const [runId, createdMs] of this.#uncleared) await this.#clear(runId, createdMs).catch(onError);
  }

  /** What this hub alone has of a run that is deleted: its folder, and what it has yet to deliver to the store. */
  async #clear(runId: RunId, createdMs: number | null): Promise<void> {
    const { shared, dataDir, find, onCleared } = this.options;
    this.#uncleared.set(runId, createdMs);
    // Tried again later, the folder may be a new run's under its id.
    const bytes = find(runId) ? 0 : await removeRunFolder(dataDir, runId);
    if (bytes > 0) onCleared(runId, bytes);
    if (shared && (await shared.undelivered()).includes(runId)) await shared.deleteRest(runId, createdMs);
    shared?.forget(runId);
    this.#uncleared.delete(runId);
  }
}
