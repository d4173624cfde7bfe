import { randomUUID } from 'node:crypto';
import type { RunId } from '@plumbline/shared/run';
import type { Delivery, InfluxClient } from './influx-client.js';
import { deletionMeasurement } from './influx-lines.js';
import { always, from } from './influx-queries.js';
import { downsampledBucket } from './influx-setup.js';

/*
 * A run is deleted in this order:
 *   1. a note of it goes into the spool, behind all that this hub has written of the run: from here on it is hidden;
 *   2. the note goes to InfluxDB in its turn, and so hides the run at the other hubs too;
 *   3. it goes into a list on disk of what is to be deleted, and only then the spool's record is let go of;
 *   4. InfluxDB is asked to delete the points, beside the lines that are delivered (see influx-point-removal.ts);
 *   5. when it has, the same hub says of its note that it is cleared.
 * So wherever this breaks off, the run is shown whole (nothing was noted, and it can be deleted again) or not at all, and
 * goes on from there. The note stays: another hub that was away may still deliver what it had of the run, its record
 * among it, which the note goes on hiding.
 *
 * Points are deleted by the id of their run, so nothing may be written under an id while any hub is at that. Each deletion
 * is in InfluxDB from before its request until after it; a hub creates a run only under an id all of whose deletions are
 * cleared. Two hubs may still begin at once, one to create the run and one to delete what it had left of the one before.
 * So each says in InfluxDB first what it is about to do and looks for the other's word then: the one that creates says
 * that a new life of the id begins, and waits for deletions that it finds; the one that deletes leaves alone an id that
 * has had a life since the one that it is about.
 */

/** A run that is to be gone. */
export interface Deletion {
  runId: RunId;
  /** Other hubs may have deletions of their own of the same run. */
  id: string;
  /** When the run was created. */
  createdMs: number;
  /** Which of the runs that have had this id: 0 for the first, then counted by `lineOfNewLife`. */
  life: number;
  /** When this was said. */
  atMs: number;
}

/** What InfluxDB is told of an id: a run of it is deleted, or its points are gone too, or there is a new one. */
interface Word extends Omit<Deletion, 'atMs'> {
  word: 'deleted' | 'cleared' | 'new_life';
}

/** What has become of the runs that have had an id. */
export interface Past {
  /** The latest one of them, deleted or not. */
  life: number;
  isDeleted: boolean;
  /** Records of the run that were created up to then are of one that was deleted. */
  hiddenMs: number;
  /** Deletions whose points may still be there. */
  uncleared: ReadonlySet<string>;
  /** Deletions whose points are gone. */
  cleared: ReadonlySet<string>;
}

export const isHidden = (past: Past | undefined, createdMs: number): boolean => createdMs <= (past?.hiddenMs ?? -1);

export const lineOfDeletion = (deletion: Deletion): string => lineOf({ ...deletion, word: 'deleted' });
export const lineOfCleared = (deletion: Deletion): string => lineOf({ ...deletion, word: 'cleared' });
/** A run is created under an id that runs were deleted under; an import may be as old as one of those, or older. */
export const lineOfNewLife = (run: Omit<Deletion, 'id'>): string =>
  lineOf({ ...run, id: randomUUID(), word: 'new_life' });

/** The tag is not `run`: deleting the run's points leaves this. */
const lineOf = ({ runId, id, life, word, createdMs, atMs }: Word & Pick<Deletion, 'atMs'>): string =>
  `${deletionMeasurement},deleted=${runId},id=${id},life=${life},word=${word} created_ms=${createdMs} ${Math.floor(atMs)}000000`;

/**
 * What InfluxDB knows of ids that runs were deleted under, or of one.
 * @param here deletions that may still be on their way there
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
    // Of a life that goes on, what is older than it is hidden.
    hiddenMs: deleted.length > 0 ? Math.max(...deleted) : Math.min(...times('new_life')) - 1,
    uncleared: new Set(of('deleted').flatMap(({ id }) => (cleared.has(id) ? [] : [id]))),
    cleared,
  };
}

/** `left`: why points stay where they are not shown, or null. */
export type Removal = Exclude<Delivery, { kind: 'stored' }> | { kind: 'stored'; left: string | null };

/** Deletes all points of a run, the thinned copies of `influx-setup --downsample-…` among them. */
export async function deletePoints(client: InfluxClient, runId: RunId, signal: AbortSignal): Promise<Removal> {
  const { bucket } = client.options;
  const points = `run="${runId}"`;
  const full = await client.delete(bucket, points, signal);
  if (full.kind !== 'stored') return full;
  const target = downsampledBucket(bucket);
  const thinned = await client.delete(target, points, signal);
  // Where nobody asked for thinned copies, there is no such bucket.
  if (thinned.kind === 'stored' || thinned.status === 404) return { kind: 'stored', left: null };
  if (thinned.status === 403)
    return {
      kind: 'stored',
      left:
        `The token may not write bucket "${target}", so what that has of the run stays. ` +
        'npm run plumbline -- influx-setup with its --downsample flags makes a token that may.',
    };
  return thinned.kind === 'later' ? thinned : { kind: 'stored', left: thinned.problem };
}
