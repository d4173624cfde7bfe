import type { RunId } from '@plumbline/shared/run';
import type { EventStore } from '../store/event-store.js';
import { archiveOf, digestOf, TransferError } from './run-archive.js';
import { storeRun, unfinishedNote, type Progress } from './store-run.js';

/**
 * Copies runs from one store to another. Events that the target already has are checked and kept, so an interrupted copy
 * resumes, and a run that has grown since is brought up to date. A run that cannot be copied does not stop the others.
 * @param runIds runs to copy; all of the source if empty
 * @param say receives lines for people
 * @returns the runs that could not be copied
 * @throws StoreUnavailableError when a store fails
 */
export async function copyRuns(
  source: EventStore,
  target: EventStore,
  runIds: readonly RunId[],
  say: (line: string) => void,
): Promise<RunId[]> {
  const ids = runIds.length > 0 ? runIds : (await source.runs()).map(({ runId }) => runId).reverse();
  const progress: Progress = (runId, seq, lastSeq) => say(`${runId}: ${seq} of ${lastSeq} events`);
  const failed: RunId[] = [];
  for (const runId of ids) {
    try {
      say(await copyRun(source, target, runId, progress));
    } catch (error) {
      if (!(error instanceof TransferError)) throw error;
      say(`${runId}: NOT COPIED. ${error.message}`);
      failed.push(runId);
    }
  }
  return failed;
}

async function copyRun(source: EventStore, target: EventStore, runId: RunId, progress: Progress): Promise<string> {
  const archive = await archiveOf(source, runId);
  const digest = await digestOf(archive);
  const there = await target.run(runId);
  if (there?.lastSeq === archive.lastSeq && (await digestOf(await archiveOf(target, runId))) === digest)
    return `${runId}: already there with the same digest`;
  await storeRun(archive, digest, target, progress);
  return `${runId}: copied, ${archive.lastSeq} events, ${digest}.${unfinishedNote(archive)}`;
}
