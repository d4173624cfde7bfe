import { hasEnded, type RunId } from '@plumbline/shared/run';
import type { EventStore, StoredRun } from '../store/event-store.js';
import { RunDigest, digestOf, storedCommands, storedEvents, TransferError, type RunArchive } from './run-archive.js';

const eventsPerReport = 100_000;

/** Reports the progress of a run. */
export type Progress = (runId: RunId, seq: number, lastSeq: number) => void;

/** The record of a run whose events are still arriving: a store needs a record first. */
const arrivingReason = 'This run has not arrived whole: the import or copy of it has not ended. Do it again to go on.';
export const arriving = (run: StoredRun): StoredRun => ({ ...run, state: 'failed', reason: arrivingReason });
export const isArriving = (run: Pick<StoredRun, 'state' | 'reason'>): boolean =>
  run.state === 'failed' && run.reason === arrivingReason;

/**
 * Completes a store's copy of a run from an archive: stored events are checked and kept, the rest is appended. A new run is
 * listed as incomplete until it reads back with the right digest, so nobody mistakes a part for the whole. The next call
 * resumes an interrupted one.
 * @param digest of the archive
 * @throws TransferError when the store has other data under this id, if possible before anything is written
 */
export async function storeRun(
  archive: RunArchive,
  digest: string,
  target: EventStore,
  progress: Progress = () => undefined,
): Promise<void> {
  const { run, commands, lastSeq } = archive;
  const { runId } = run;
  const known = await target.run(runId);
  if (known && known.createdMs !== run.createdMs)
    throw new TransferError(`The target holds another run under the id ${runId}. Nothing was written.`);
  const held = await target.lastSeq(runId);
  await refuseOtherEvents(archive, target, held);
  for (const { commandId } of commands) {
    const owner = (await target.command(commandId))?.runId ?? runId;
    if (owner !== runId)
      throw new TransferError(
        `The target has the command ${commandId} of run ${runId} already, as one of run ${owner}.`,
      );
  }

  if (!known) await target.createRun(arriving(run));
  let reported = held;
  for await (const events of archive.events(held + 1)) {
    const { lastSeq: seq } = await target.append(runId, events);
    if (seq - reported < eventsPerReport && seq < lastSeq) continue;
    progress(runId, seq, lastSeq);
    reported = seq;
  }
  for (const command of commands) await target.putCommand(command);
  const stored = { run, commands: await storedCommands(target, runId), ...storedEvents(target, runId, lastSeq) };
  const storedDigest = await digestOf(stored);
  if (storedDigest !== digest)
    throw new TransferError(
      `The run ${runId} does not read back as it was written: its digest is ${storedDigest}, and should be ${digest}. ` +
        'Do not rely on this copy.',
    );
  await target.updateRun(run);
}

/** Checks that the target's events are the first ones of the archive. */
async function refuseOtherEvents(archive: RunArchive, target: EventStore, held: number): Promise<void> {
  const { runId } = archive.run;
  if (held > archive.lastSeq)
    throw new TransferError(
      `The target holds ${held} events of a run ${runId}, more than the ${archive.lastSeq} that are to come.`,
    );
  if (held === 0) return;
  const ours = await firstEventsDigest(archive, held);
  if (ours !== (await firstEventsDigest({ ...archive, ...storedEvents(target, runId, held) }, held)))
    throw new TransferError(`The target holds other events under the id ${runId}. Nothing was written.`);
}

async function firstEventsDigest(archive: RunArchive, count: number): Promise<string> {
  const digest = await RunDigest.of(archive);
  for await (const events of archive.events()) {
    await digest.add(events.filter((event) => event.seq <= count));
    if (events.at(-1)!.seq >= count) break;
  }
  return digest.value();
}

/** A note for people about a run that was moved while it went on. */
export const unfinishedNote = ({ run: { state } }: RunArchive): string =>
  hasEnded(state) ? '' : ` It had not ended (${state}): what its trainer said later is not in it.`;
