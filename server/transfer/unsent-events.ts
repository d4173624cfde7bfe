import { statSync } from 'node:fs';
import { z, ZodError } from 'zod';
import { maxEventsPerBatch } from '@plumbline/shared/limits';
import { cleaned } from '@plumbline/shared/plain-text';
import type { RunId } from '@plumbline/shared/run';
import { isLastWord, orderFault } from '@plumbline/shared/trainer-event';
import { UnsentEventsHeader, unsentEventsVersion } from '@plumbline/shared/unsent-events';
import { isWireMetricEvent, type WireEvent } from '@plumbline/shared/wire-event';
import type { EventStore } from '../store/event-store.js';
import { DeclaredSeries } from '../run/declared-series.js';
import { readEvents } from '../run/read-events.js';
import { StoredEvent } from '../store/protocol-1.js';
import { canonicalJson } from './canonical-json.js';
import { json, lines, parsed } from './jsonl-file.js';
import { readPart, refuseLaterVersion, storedEvents, TransferError } from './run-archive.js';

const Opening = UnsentEventsHeader.pick({ format: true }).extend({ version: z.number().int().positive() });

/**
 * The run whose trainer left its last events in this file because its hub was gone; null for other files.
 * @throws TransferError when such a file is of a later version or has a damaged header
 */
export async function unsentEventsOf(path: string): Promise<UnsentEventsHeader | null> {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) return null;
  for await (const { text, number } of lines(path)) {
    const header = json(text);
    const opening = Opening.safeParse(header);
    if (!opening.success) return null;
    refuseLaterVersion(opening.data.version, unsentEventsVersion, path);
    return readPart(UnsentEventsHeader, header, `Line ${number} of ${path}`);
  }
  return null;
}

/**
 * Appends events that a trainer left in a file to their run. Events that the store already has are skipped, so importing the
 * same file again changes nothing. The run's state and its commands follow from the events when a hub opens the store.
 * @returns the number of new events, and of the run's last event
 * @throws TransferError, before anything is written, when the file is damaged or its content cannot come from a trainer, or
 *   when the store does not have the run, lacks earlier events, has others in their place, or cannot be read that far
 */
export async function handInEvents(
  path: string,
  { runId, version }: UnsentEventsHeader,
  store: EventStore,
): Promise<{ appended: number; lastSeq: number }> {
  if (!(await store.run(runId)))
    throw new TransferError(
      `There is no run ${runId} here, to which these events belong: name its folder with --data-dir.`,
    );
  let lastSeq = await store.lastSeq(runId);
  const given = version === 1 ? await eventsIn(path, readNamed) : await eventsIn(path, readWire);
  const [first] = given;
  if (!first) return { appended: 0, lastSeq };
  if (first.seq > lastSeq + 1)
    throw new TransferError(
      `The events in ${path} begin with ${first.seq}, and ${runId} goes up to ${lastSeq} here: those between are ` +
        'missing. Restore the store that its hub wrote, then do this again.',
    );
  const events = await named(given, runId, lastSeq, store);
  const lastStep = await refuseOtherEvents(events, runId, lastSeq, store, path);
  const fault = orderFault({ runId, lastSeq, lastStep }, events);
  if (fault !== null) throw new TransferError(`${path} cannot be imported. ${fault}`);
  const fresh = events.filter(({ seq }) => seq > lastSeq);
  for (let next = 0; next < fresh.length; next += maxEventsPerBatch)
    ({ lastSeq } = await store.append(runId, fresh.slice(next, next + maxEventsPerBatch)));
  return { appended: fresh.length, lastSeq };
}

/** Parses events as a hub does: they are compared with what a hub stored. */
const readNamed = (data: unknown, name: string): StoredEvent => cleaned(readPart(StoredEvent, data, name));
function readWire(data: unknown, name: string): WireEvent {
  try {
    return readEvents({ events: [data] }).events[0]!;
  } catch (error) {
    if (!(error instanceof ZodError)) throw error;
    const [{ path, message } = { path: [], message: '' }] = error.issues;
    throw new TransferError(`${name} is not valid: ${path.join('.')}: ${message}`, { cause: error });
  }
}

/** Events with their series by name, as they are stored. */
async function named(
  events: readonly (WireEvent | StoredEvent)[],
  runId: RunId,
  lastSeq: number,
  store: EventStore,
): Promise<StoredEvent[]> {
  const series = new DeclaredSeries(runId, store);
  await series.load(lastSeq, events[0]!.seq);
  return events.map((event) => (isWireMetricEvent(event) && 'values' in event ? series.resolve(event).event : event));
}

/** The events in a file, which are numbered without a gap. */
async function eventsIn<E extends { seq: number }>(
  path: string,
  read: (data: unknown, name: string) => E,
): Promise<E[]> {
  const events: E[] = [];
  for await (const { text, number } of lines(path)) {
    if (number === 1) continue;
    const event = read(parsed(text, number, path), `Line ${number} of ${path}`);
    const last = events.at(-1);
    if (last && event.seq !== last.seq + 1)
      throw new TransferError(`Line ${number} of ${path} has event ${event.seq} where ${last.seq + 1} should be.`);
    events.push(event);
  }
  return events;
}

/**
 * Checks that the store has the same events under these numbers, and no other end of the run.
 * @param events the first of which follows `lastSeq`, the last in the store, or is stored
 * @returns the step of the last stored event
 */
async function refuseOtherEvents(
  events: readonly StoredEvent[],
  runId: RunId,
  lastSeq: number,
  store: EventStore,
  path: string,
): Promise<number> {
  const others = new TransferError(
    `The run ${runId} went on without the events in ${path}: another trainer took it up. Nothing was written.`,
  );
  const [first, end] = [events[0]!.seq, events.at(-1)!.seq];
  const until = Math.min(lastSeq, end);
  let last: StoredEvent | undefined;
  // Begins at the event before them at least: it may be the run's last word.
  for await (const stored of storedEvents(store, runId, until).events(Math.max(1, Math.min(first, lastSeq)))) {
    const held = stored.filter(({ seq }) => seq >= first);
    const ours = held.map(({ seq }) => events[seq - first]);
    if (canonicalJson(held) !== canonicalJson(ours)) throw others;
    last = stored.at(-1);
  }
  if (last && isLastWord(last) && end > until) throw others;
  return last?.step ?? 0;
}
