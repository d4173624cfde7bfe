import { statSync } from 'node:fs';
import type { RunId } from '@plumbline/shared/run';
import { isLastWord, maxEventsPerBatch, TrainerEvent } from '@plumbline/shared/trainer-event';
import { UnsentEventsHeader } from '@plumbline/shared/unsent-events';
import type { EventStore } from '../store/event-store.js';
import { json, lines } from './jsonl-file.js';
import { canonicalJson, readPart, TransferError } from './run-archive.js';

/** The run whose trainer left its last events in this file because its hub was gone; null for anything else. */
export async function unsentEventsOf(path: string): Promise<RunId | null> {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return null;
  for await (const { text } of lines(path)) return UnsentEventsHeader.safeParse(json(text)).data?.runId ?? null;
  return null;
}

/**
 * Appends events that a trainer has left in a file to their run. What the store holds of them already counts once, so
 * handing in the same file again changes nothing. The run's state and its commands follow from the events when a hub
 * takes up the store.
 * @returns how many were new, and how far the run goes now
 * @throws TransferError, before anything is written, when the store has no such run, lacks events before these, or holds
 *   others in their place
 */
export async function handInEvents(
  path: string,
  runId: RunId,
  store: EventStore,
): Promise<{ appended: number; lastSeq: number }> {
  if (!(await store.run(runId)))
    throw new TransferError(
      `There is no run ${runId} here, to which these events belong: name its folder with --data-dir.`,
    );
  const events: TrainerEvent[] = [];
  for await (const { text, number } of lines(path)) {
    if (number === 1) continue;
    const event = readPart(TrainerEvent, json(text), `Line ${number} of ${path}`);
    const last = events.at(-1);
    if (last && event.seq !== last.seq + 1)
      throw new TransferError(`Line ${number} of ${path} has event ${event.seq} where ${last.seq + 1} should be.`);
    events.push(event);
  }
  const first = events[0]?.seq;
  let lastSeq = await store.lastSeq(runId);
  if (first === undefined) return { appended: 0, lastSeq };
  if (first > lastSeq + 1)
    throw new TransferError(
      `The events in ${path} begin with ${first}, and ${runId} goes up to ${lastSeq} here: those between are missing. ` +
        'Restore the store that its hub wrote, then do this again.',
    );
  await refuseOtherEvents(events, runId, store, path);
  const fresh = events.filter(({ seq }) => seq > lastSeq);
  for (let next = 0; next < fresh.length; next += maxEventsPerBatch)
    ({ lastSeq } = await store.append(runId, fresh.slice(next, next + maxEventsPerBatch)));
  return { appended: fresh.length, lastSeq };
}

/** What the store holds under the numbers of these events must be these events, and the end of the run no other. */
async function refuseOtherEvents(
  events: readonly TrainerEvent[],
  runId: RunId,
  store: EventStore,
  path: string,
): Promise<void> {
  const lastSeq = await store.lastSeq(runId);
  const others = new TransferError(
    `The run ${runId} went on without the events in ${path}: another trainer took it up. Nothing was written.`,
  );
  const held = events.filter(({ seq }) => seq <= lastSeq);
  for (let next = 0; next < held.length; next += maxEventsPerBatch) {
    const ours = held.slice(next, next + maxEventsPerBatch);
    const stored = await store.events(runId, ours[0]!.seq, ours.length);
    if (canonicalJson(stored) !== canonicalJson(ours)) throw others;
  }
  if (held.length === events.length || lastSeq === 0) return;
  const [last] = await store.events(runId, lastSeq, 1);
  if (last && isLastWord(last)) throw others;
}
