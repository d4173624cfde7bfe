import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunId } from '@plumbline/shared/run';
import { StoreBusyError, StoreUnavailableError, type StoredRun } from './event-store.js';
import type { InfluxClient } from './influx-client.js';
import { isHidden, lineOfDeletion, lineOfNewLife, queryPasts, type Past } from './influx-deletion.js';
import type { InfluxOutbox, VersionedRun } from './influx-outbox.js';
import { queryRuns, type RunRecord } from './influx-records.js';

/** How long a new run waits for the points of a deleted one of its id to be gone. */
const clearingMs = 5000;

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
    const [pasts, there] = await Promise.all([this.#pasts(runId), queryRuns(this.client, runId)]);
    const found = new Map<RunId, VersionedRun | RunRecord>();
    for (const run of [...there, ...onTheirWay])
      if (!isHidden(pasts.get(run.runId), run.createdMs) && run.version > (found.get(run.runId)?.version ?? 0))
        found.set(run.runId, run);
    return found;
  }

  /** Runs that were deleted and are not there again. */
  async deleted(): Promise<RunId[]> {
    return [...(await this.#pasts())].flatMap(([runId, { isDeleted }]) => (isDeleted ? [runId] : []));
  }

  /** Deletes a run, see influx-deletion.ts; again where it was deleted already. @returns false when there never was one */
  async delete(runId: RunId): Promise<boolean> {
    // Asked first: should a new run begin before its record is looked for, this is of the life before, and leaves it alone.
    const past = (await this.#pasts(runId)).get(runId);
    const run = await this.newest(runId);
    return this.#note(runId, run?.createdMs ?? (past?.isDeleted ? past.hiddenMs : null), past);
  }

  /**
   * Deletes what this hub has delivered, or will, of a run that another has deleted.
   * @param createdMs the run's, which tells it from a later one while the other hub's note is on its way; null: not known
   * @returns false when InfluxDB knows of no deletion and this does not either, or the id has another run by now
   */
  async deleteRest(runId: RunId, createdMs: number | null): Promise<boolean> {
    const past = (await this.#pasts(runId)).get(runId);
    if (past?.isDeleted) return this.#note(runId, past.hiddenMs, past);
    return createdMs !== null && !isHidden(past, createdMs) && this.#note(runId, createdMs, past);
  }

  async #note(runId: RunId, createdMs: number | null, past: Past | undefined): Promise<boolean> {
    if (createdMs === null) return false;
    const deletion = { runId, createdMs, id: randomUUID(), life: past?.life ?? 0, atMs: Date.now() };
    await this.outbox.add({ kind: 'deletion', ...deletion }, [lineOfDeletion(deletion)]);
    return true;
  }

  /**
   * A run is about to be created that is not there. Where one of its id was deleted, InfluxDB is told of the new one.
   * @throws StoreBusyError while points of the deleted one may still be there or a request to delete them be under way
   */
  async beginLife({ runId, createdMs }: Pick<StoredRun, 'runId' | 'createdMs'>): Promise<void> {
    const past = await this.#cleared(runId);
    if (!past) return;
    const line = lineOfNewLife({ runId, createdMs, life: past.life + 1, atMs: Date.now() });
    const said = await this.client.write(line, true);
    if (said.kind !== 'stored') throw new StoreUnavailableError(said.problem);
    // A hub that has noted a deletion meanwhile may not have seen this before it asked for it.
    await this.#cleared(runId);
  }

  /** Waits a moment for all deletions under an id to be done. @returns what is known of it then */
  async #cleared(runId: RunId): Promise<Past | undefined> {
    const endMs = performance.now() + clearingMs;
    for (;;) {
      const past = (await this.#pasts(runId)).get(runId);
      if (!past || past.uncleared.size === 0) return past;
      if (performance.now() >= endMs)
        throw new StoreBusyError(
          `The run ${runId} that there was is still being deleted from InfluxDB; try again in a moment. ` +
            'Where that does not end, see the log of the hub that deleted it, or take another id.',
        );
      await sleep(50);
    }
  }

  /** With what is noted here and on its way. */
  #pasts(runId?: RunId): Promise<Map<RunId, Past>> {
    return queryPasts(this.client, this.outbox.deletions, runId);
  }
}
