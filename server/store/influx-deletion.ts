import { randomUUID } from 'node:crypto';
import type { RunId } from '@plumbline/shared/run';
import type { Delivery, InfluxClient } from './influx-client.js';
import { deletionMeasurement } from './influx-lines.js';
import { always, from } from './influx-queries.js';
import { downsampledBucket } from './influx-setup.js';

/*
 * A run is deleted in this order:
 *   1. a note goes into the spool, behind everything this hub wrote of the run: from here on the run is hidden;
 *   2. the note is delivered to InfluxDB in its turn, which hides the run at the other hubs too;
 *   3. the deletion goes into a list on disk, and only then the spool's record is released;
 *   4. InfluxDB is asked to delete the points, in parallel to deliveries (see influx-point-removal.ts);
 *   5. when it has, the same hub marks its note as cleared.
 * Wherever this breaks off, the run is either shown complete (nothing was noted, and it can be deleted again) or hidden,
 * and the deletion resumes. The note stays: another hub that was away may still deliver its data of the run, including
 * the run's record, and the note keeps hiding it.
 *
 * Points are deleted by run id, so nothing may be written under an id while any hub deletes under it. InfluxDB has the note
 * of a deletion from before its request until after it, and a hub creates a run only under an id whose deletions are all
 * cleared. Two hubs may still begin at once: one creates the run, the other deletes its rest of the earlier run. So each
 * first writes its intent to InfluxDB and then looks for the other's. The creator writes that a new life of the id begins,
 * and waits for the deletions it finds. The deleter spares an id that has had a later life than the one to delete.
 */

/** The deletion of a run. */
export interface Deletion {
  runId: RunId;
  /** Id of the deletion: other hubs may delete the same run. */
  id: string;
  /** When the run was created. */
  createdMs: number;
  /** Which life of the run id is meant: 0 for the first, then counted by `lineOfNewLife`. */
  life: number;
  /** When the deletion was noted. */
  atMs: number;
}

/** What a line says of a run id: a run is deleted, its points are gone too, or a new life begins. */
interface Word extends Omit<Deletion, 'atMs'> {
  word: 'deleted' | 'cleared' | 'new_life';
}

/** The past of a run id. */
export interface Past {
  /** The latest life, deleted or not. */
  life: number;
  isDeleted: boolean;
  /** Run records created up to this time belong to a deleted run. */
  hiddenMs: number;
  /** Deletions whose points may remain. */
  uncleared: ReadonlySet<string>;
  /** Deletions whose points are gone. */
  cleared: ReadonlySet<string>;
}

export const isHidden = (past: Past | undefined, createdMs: number): boolean => createdMs <= (past?.hiddenMs ?? -1);

export const lineOfDeletion = (deletion: Deletion): string => lineOf({ ...deletion, word: 'deleted' });
export const lineOfCleared = (deletion: Deletion): string => lineOf({ ...deletion, word: 'cleared' });
/** Line for a new life of an id with deleted runs; an imported run may be as old as those, or older. */
export const lineOfNewLife = (run: Omit<Deletion, 'id'>): string =>
  lineOf({ ...run, id: randomUUID(), word: 'new_life' });

/** Line for a deletion. Its tag is not `run`, so that deleting the run's points spares it. */
const lineOf = ({ runId, id, life, word, createdMs, atMs }: Word & Pick<Deletion, 'atMs'>): string =>
  `${deletionMeasurement},deleted=${runId},id=${id},life=${life},word=${word} created_ms=${createdMs} ${Math.floor(atMs)}000000`;

/**
 * Reads the pasts of all ids with deleted runs, or of one id.
 * @param here this hub's deletions, which may still be on their way
 */
export async function queryPasts(
  client: InfluxClient,
  here: readonly Deletion[],
  runId?: RunId,
): Promise<Map<RunId, Past>> {
  const isAsked = (of: RunId): boolean => runId === undefined || of === runId;
  const words: Word[] = here.filter((deletion) => isAsked(deletion.runId)).map((of) => ({ ...of, word: 'deleted' }));
  const where = runId === undefined ? '' : ` and r.deleted == "${runId}"`;
  await client.query(
    `${from(client, always)} |> filter(fn: (r) => r._measurement == "${deletionMeasurement}"${where})`,
    (row) =>
      words.push({
        runId: row('deleted') as RunId,
        id: row('id'),
        life: Number(row('life')),
        word: row('word') as Word['word'],
        createdMs: Number(row('_value')),
      }),
  );
  const byRun = new Map<RunId, Word[]>();
  for (const word of words) byRun.set(word.runId, [...(byRun.get(word.runId) ?? []), word]);
  return new Map([...byRun].map(([of, said]) => [of, pastOf(said)]));
}

function pastOf(words: readonly Word[]): Past {
  const life = Math.max(...words.map((word) => word.life));
  const of = (kind: Word['word']): Word[] => words.filter(({ word }) => word === kind);
  const times = (kind: Word['word']): number[] =>
    of(kind).flatMap((word) => (word.life === life ? [word.createdMs] : []));
  const cleared = new Set(of('cleared').map(({ id }) => id));
  const deleted = times('deleted');
  return {
    life,
    isDeleted: deleted.length > 0,
    // A current life hides everything older than it.
    hiddenMs: deleted.length > 0 ? Math.max(...deleted) : Math.min(...times('new_life')) - 1,
    uncleared: new Set(of('deleted').flatMap(({ id }) => (cleared.has(id) ? [] : [id]))),
    cleared,
  };
}

/** Result of a deletion. `left`: why some hidden points remain, or null. */
export type Removal = Exclude<Delivery, { kind: 'stored' }> | { kind: 'stored'; left: string | null };

/** Deletes all points of a run, including the thinned copies of `influx-setup --downsample-…`. */
export async function deletePoints(client: InfluxClient, runId: RunId, signal: AbortSignal): Promise<Removal> {
  const { bucket } = client.options;
  const points = `run="${runId}"`;
  const full = await client.delete(bucket, points, signal);
  if (full.kind !== 'stored') return full;
  const target = downsampledBucket(bucket);
  const thinned = await client.delete(target, points, signal);
  // Without downsampling this bucket does not exist.
  if (thinned.kind === 'stored' || thinned.status === 404) return { kind: 'stored', left: null };
  if (thinned.status === 403)
    return {
      kind: 'stored',
      left:
        `The token may not write bucket "${target}", so the run's thinned copies remain there. ` +
        'npm run plumbline -- influx-setup with its --downsample flags makes a token that may.',
    };
  return thinned.kind === 'later' ? thinned : { kind: 'stored', left: thinned.problem };
}
