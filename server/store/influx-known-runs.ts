import type { RunId } from '@plumbline/shared/run';
import type { InfluxClient } from './influx-client.js';
import { isHidden, lineOfDeletion, queryDeletions, type Deletion, type Hidden } from './influx-deletion.js';
import type { InfluxOutbox, VersionedRun } from './influx-outbox.js';
import { queryRuns, type RunRecord } from './influx-records.js';

/** Which runs there are: the records on their way laid over those in InfluxDB, without those that deletions hide. */
export class InfluxKnownRuns {
  constructor(
    readonly client: InfluxClient,
    readonly outbox: InfluxOutbox,
  ) {}

  /** The newest record of a run; another hub may have changed it since this one last did. */
  async newest(runId: RunId): Promise<VersionedRun | RunRecord | null> {
    return (await this.#newest(runId)).get(runId) ?? null;
  }

  /** The newest record of each run. */
  async all(): Promise<(VersionedRun | RunRecord)[]> {
    return [...(await this.#newest()).values()];
  }

  async #newest(runId?: RunId): Promise<Map<RunId, VersionedRun | RunRecord>> {
    // What is on its way is noted before InfluxDB is asked: what arrives there meanwhile is then seen in one of the two.
    const onTheirWay = this.outbox.runs.filter((run) => runId === undefined || run.runId === runId);
    const { deletions } = this.outbox;
    const [hidden, there] = await Promise.all([this.#hidden(runId), queryRuns(this.client, runId)]);
    const found = new Map<RunId, VersionedRun | RunRecord>();
    for (const run of [...there.filter((run) => !deletions.has(run.runId)), ...onTheirWay])
      if (!isHidden(hidden, run) && run.version > (found.get(run.runId)?.version ?? 0)) found.set(run.runId, run);
    return found;
  }

  /** Runs that were deleted and are not there again. */
  async deleted(): Promise<RunId[]> {
    const [hidden, there] = [await this.#hidden(), await this.#newest()];
    return [...hidden].flatMap(([runId, createdMs]) => (createdMs >= 0 && !there.has(runId) ? [runId] : []));
  }

  /**
   * Deletes a run, see influx-deletion.ts; one that was deleted already once more, for what another hub has delivered of
   * it since. @returns false when there never was such a run
   */
  async delete(runId: RunId): Promise<boolean> {
    const run = await this.newest(runId);
    const createdMs = run?.createdMs ?? (await this.#hidden(runId)).get(runId) ?? -1;
    if (createdMs < 0) return false;
    await this.#note({ runId, createdMs });
    return true;
  }

  /** A run of this id is there again from now on; one that comes back as it was (an import) is as old as the deleted one. */
  async unhide(run: Pick<Deletion, 'runId' | 'createdMs'>): Promise<void> {
    if (isHidden(await this.#hidden(run.runId), run)) await this.#note({ runId: run.runId, createdMs: -1 });
  }

  async #note(what: Omit<Deletion, 'atMs'>): Promise<void> {
    const atMs = Math.max(Date.now(), (this.outbox.deletions.get(what.runId)?.atMs ?? 0) + 1);
    const deletion = { ...what, atMs };
    await this.outbox.add({ kind: 'deletion', ...deletion }, [lineOfDeletion(deletion)]);
  }

  /** What is noted here and on its way is newer than what InfluxDB has. */
  async #hidden(runId?: RunId): Promise<Hidden> {
    const here = this.outbox.deletions;
    const hidden = await queryDeletions(this.client, runId);
    for (const { runId, createdMs } of here.values()) hidden.set(runId, createdMs);
    return hidden;
  }
}
