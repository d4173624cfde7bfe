import { createHash } from 'node:crypto';
import { CommandId } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import type { EventStore } from '../store/event-store.js';
import type { StoredEvent } from '../store/protocol-1.js';
import { openRunFile } from './open-run-file.js';
import { archiveOf, byAge, digestOf, TransferError, type RunArchive, type RunFile } from './run-archive.js';
import { isArriving, storeRun, type Progress } from './store-run.js';

/**
 * Imports an exported run into a store. It is read and checked completely before anything is written.
 * @param as another id for it, if its own is taken
 * @returns the run as stored, and whether it was there before
 * @throws TransferError when the file is damaged or the id belongs to another run
 */
export async function importRun(
  path: string,
  store: EventStore,
  as?: RunId,
  progress?: Progress,
): Promise<{ archive: RunArchive; digest: string; unchanged: boolean }> {
  const file = await openRunFile(path);
  const archive = as ? renamed(file, as) : file;
  const { runId } = archive.run;
  // Opened before the long read, so that an unusable store fails at once.
  const known = await store.run(runId);
  await checkDigest(file, path);
  const digest = as ? await digestOf(archive) : file.digest;
  if (known && !isArriving(known)) {
    if ((await digestOf(await archiveOf(store, runId))) === digest) return { archive, digest, unchanged: true };
    throw new TransferError(`Another run has the id ${runId}. Give this one an id of its own: --as NEW_ID`);
  }
  await storeRun(archive, digest, store, progress);
  return { archive, digest, unchanged: false };
}

/** Reads a file completely. @throws TransferError when it differs from its export */
async function checkDigest(file: RunFile, path: string): Promise<void> {
  const digest = await digestOf(file);
  if (digest !== file.digest)
    throw new TransferError(
      `${path} was changed after its export: its digest is ${digest}, and should be ${file.digest}. Nothing was imported.`,
    );
}

/**
 * The same run under another id. Its commands get new ids, always the same ones, because a store knows commands by their id
 * alone.
 */
function renamed(archive: RunArchive, runId: RunId): RunArchive {
  const newId = (commandId: CommandId): CommandId =>
    CommandId.parse(createHash('sha256').update(`${runId} ${commandId}`).digest('base64url').slice(0, 32));
  const rename = (event: StoredEvent): StoredEvent =>
    event.type === 'command_applied' || event.type === 'command_failed'
      ? { ...event, commandId: newId(event.commandId) }
      : event;
  async function* events(fromSeq?: number): AsyncGenerator<StoredEvent[]> {
    for await (const batch of archive.events(fromSeq)) yield batch.map(rename);
  }
  const commands = archive.commands.map((command) => ({ ...command, runId, commandId: newId(command.commandId) }));
  return {
    run: { ...archive.run, runId },
    commands: commands.sort(byAge),
    lastSeq: archive.lastSeq,
    events,
  };
}
