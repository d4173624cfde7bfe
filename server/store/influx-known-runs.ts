import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { RunId } from '@plumbline/shared/run';
import { StoreBusyError, StoreUnavailableError, type StoredRun } from './event-store.js';
import type { InfluxClient } from './influx-client.js';
import { isHidden, lineOfDeletion, lineOfNewLife, queryPasts, type Past } from './influx-deletion.js';
import type { InfluxOutbox, VersionedRun } from './influx-outbox.js';
import { queryRuns, type RunRecord } from './influx-records.js';

/** How long a new run waits until the points of a deleted run with its id are gone. */
const clearingMs = 5000;

/** The existing runs: records on their way laid over those in InfluxDB, without those hidden by deletions. */
export class InfluxKnownRuns {
  constructor(
    readonly client: InfluxClient,
    readonly outbox: InfluxOutbox,
  ) {}

  /** The newest record of a run, whichever hub wrote it. */
  async newest(runId: RunId): Promise<VersionedRun | RunRecord | null> {
    return (await this.#newest(runId)).get(runId) ?? null;
  }

  /** The newest record of each run. */
  async all(): Promise<(VersionedRun | RunRecord)[]> {
    return [...(await this.#newest()).values()];
  }

  async #newest(runId?: RunId): Promise<Map<RunId, VersionedRun | RunRecord>> {
    // Taken before InfluxDB is asked: a record that arrives there meanwhile is then seen in at least one of the two.
    const onTheirWay = this.outbox.runs.filter((run) => runId === undefined || run.runId === runId);
    const [pasts, there] = await Promise.all([this.#pasts(runId), queryRuns(this.client, runId)]);
    const found = new Map<RunId, VersionedRun | RunRecord>();
    for (const run of [...there, ...onTheirWay])
      if (!isHidden(pasts.get(run.runId), run.createdMs) && run.version > (found.get(run.runId)?.version ?? 0))
        found.set(run.runId, run);
    return found;
  }

  /** Runs that were deleted and not created again. */
  async deleted(): Promise<RunId[]> {
    return [...(await this.#pasts())].flatMap(([runId, { isDeleted }]) => (isDeleted ? [runId] : []));
  }

  /** Deletes a run, again if it was deleted already; see influx-deletion.ts. @returns false when it never existed */
  async delete(runId: RunId): Promise<boolean> {
    // Asked first: if a new run begins before its record is read, this deletion belongs to the life before and spares it.
    const past = (await this.#pasts(runId)).get(runId);
    const run = await this.newest(runId);
    return this.#note(runId, run?.createdMs ?? (past?.isDeleted ? past.hiddenMs : null), past);
  }

  /**
   * Deletes this hub's delivered and undelivered data of a run that another hub deleted.
   * @param createdMs creation time of the deleted run, which tells it from a later one while the other hub's note is on its
   *   way; null if unknown
   * @returns false when no deletion is known, or the id has another run by now
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
   * Prepares an id for a new run. If runs were deleted under it, InfluxDB is told that a new life of the id begins.
   * @throws StoreBusyError while points of a deleted run may remain, or a request to delete them is under way
   */
  async beginLife({ runId, createdMs }: Pick<StoredRun, 'runId' | 'createdMs'>): Promise<void> {
    const past = await this.#cleared(runId);
    if (!past) return;
    const line = lineOfNewLife({ runId, createdMs, life: past.life + 1, atMs: Date.now() });
    const said = await this.client.write(line, true);
    if (said.kind !== 'stored') throw new StoreUnavailableError(said.problem);
    // Another hub may have noted a deletion meanwhile without seeing this line.
    await this.#cleared(runId);
  }

  /** Waits up to `clearingMs` for all deletions under an id. @returns the id's past, if it has one */
  async #cleared(runId: RunId): Promise<Past | undefined> {
    const endMs = performance.now() + clearingMs;
    for (;;) {
      const past = (await this.#pasts(runId)).get(runId);
      if (!past || past.uncleared.size === 0) return past;
      if (performance.now() >= endMs)
        throw new StoreBusyError(
          `An earlier run ${runId} is still being deleted from InfluxDB; try again in a moment. ` +
            'If that does not end, see the log of the hub that deleted it, or use another id.',
        );
      await sleep(50);
    }
  }

  /** The pasts of ids, including this hub's undelivered deletions. */
  #pasts(runId?: RunId): Promise<Map<RunId, Past>> {
    return queryPasts(this.client, this.outbox.deletions, runId);
  }
}
