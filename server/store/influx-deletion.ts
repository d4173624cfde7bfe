import type { RunId } from '@plumbline/shared/run';
import type { Delivery, InfluxClient } from './influx-client.js';
import { deletionMeasurement } from './influx-lines.js';
import { always, from } from './influx-queries.js';
import { downsampledBucket } from './influx-setup.js';

/*
 * A run is deleted in this order:
 *   1. a note of it goes into the spool, behind all that this hub has written of the run: from here on it is hidden;
 *   2. the note goes to InfluxDB, and so hides the run at the other hubs too;
 *   3. InfluxDB is asked to delete its points; the spool's record is let go of only when it has.
 * So wherever this breaks off, the run is shown whole (nothing was noted, and it can be deleted again) or not at all, and
 * the spool goes on with the rest. The note stays: another hub that was away may still deliver what it had of the run,
 * its record among it, which the note goes on hiding.
 */

/** A run that was deleted: records of it that were created up to then are none any more. */
export interface Deletion {
  runId: RunId;
  /** When the run was created; -1 where one of that time is there again (an import). */
  createdMs: number;
  /** When this was said; the latest word on a run counts. */
  atMs: number;
}

/** What the deletions hide: the newest time of creation by run. */
export type Hidden = ReadonlyMap<RunId, number>;

export const isHidden = (hidden: Hidden, { runId, createdMs }: Pick<Deletion, 'runId' | 'createdMs'>): boolean =>
  createdMs <= (hidden.get(runId) ?? -1);

/** The tag is not `run`: deleting the run's points leaves this. */
export const lineOfDeletion = ({ runId, createdMs, atMs }: Deletion): string =>
  `${deletionMeasurement},deleted=${runId} created_ms=${createdMs} ${Math.floor(atMs)}000000`;

/** The latest word on the deletion of each run, or of one. */
export async function queryDeletions(client: InfluxClient, runId?: RunId): Promise<Map<RunId, number>> {
  const where = runId === undefined ? '' : ` and r.deleted == "${runId}"`;
  const hidden = new Map<RunId, number>();
  await client.query(
    `${from(client, always)} |> filter(fn: (r) => r._measurement == "${deletionMeasurement}"${where}) |> last()`,
    (row) => hidden.set(row('deleted') as RunId, Number(row('_value'))),
  );
  return hidden;
}

/** Deletes all points of a run, the thinned copies of `influx-setup --downsample-…` among them. */
export async function deletePoints(client: InfluxClient, runId: RunId): Promise<Delivery> {
  const { bucket } = client.options;
  const points = `run="${runId}"`;
  const full = await client.delete(bucket, points);
  if (full.kind !== 'stored') return full;
  const target = downsampledBucket(bucket);
  const thinned = await client.delete(target, points);
  // Where nobody asked for thinned copies.
  if (thinned.kind === 'later' && thinned.status === 404) return full;
  if (thinned.kind !== 'later' || thinned.status !== 403) return thinned;
  return {
    kind: 'refused',
    problem:
      `The token may not write bucket "${target}", so what that has of the run stays. ` +
      'npm run plumbline -- influx-setup with its --downsample flags makes a token that may.',
  };
}
