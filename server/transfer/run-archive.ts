import { createHash } from 'node:crypto';
import { z, type ZodType } from 'zod';
import { maxEventsPerBatch } from '@plumbline/shared/limits';
import type { CommandRecord } from '@plumbline/shared/command';
import { aboutLength, isLargeEvent } from '@plumbline/shared/large-event-notice';
import { RunSummary, type RunId } from '@plumbline/shared/run';
import { isMetricEvent } from '@plumbline/shared/trainer-event';
import type { NotUtf8Error } from '@plumbline/shared/utf8-text';
import type { EventStore, StoredRun } from '../store/event-store.js';
import { recordAsWritten, upToDateRun, WrittenConfig, type StoredEvent } from '../store/protocol-1.js';
import { Turn } from '../turn.js';
import { canonicalParts } from './canonical-json.js';

/** Header of every file of an export. A change that older readers would misread raises the version. */
export const archiveFormat = 'plumbline-run';
/** 1: a run has a configuration, 2: a description. */
export const archiveVersion = 2;
/** The format version of a run: runs of protocol 1 keep theirs. */
export const archiveVersionOf = (run: StoredRun): number => ('config' in run ? 1 : archiveVersion);

/** Digest of the canonical JSON lines of a run, its commands and its events. */
export const Digest = z.string().regex(/^sha256:[0-9a-f]{64}$/, 'a digest is sha256: and 64 hexadecimal digits');
const RecordToday = RunSummary.omit({
  trainerConnected: true,
  lastSeq: true,
  lastStep: true,
  revision: true,
  refused: true,
  commands: true,
  busy: true,
});
const RecordOfProtocol1 = RecordToday.omit({ description: true })
  .extend({ config: WrittenConfig })
  .transform((record) => upToDateRun(record));
/** A run's record as written by this version or by protocol 1. */
export const StoredRunRecord: ZodType<StoredRun> = z.unknown().transform((data, context): StoredRun => {
  const isOld = typeof data === 'object' && data !== null && 'config' in data;
  const parsed = (isOld ? RecordOfProtocol1 : RecordToday).safeParse(data);
  if (parsed.success) return parsed.data;
  for (const { path, message } of parsed.error.issues)
    context.addIssue({ code: 'custom', path: path as (string | number)[], message });
  return z.NEVER;
});

/** A run in transfer: its record, its commands (oldest first), and its events as a stream. */
export interface RunArchive {
  run: StoredRun;
  commands: CommandRecord[];
  /** Number of the last event; events are numbered from 1 without a gap. */
  lastSeq: number;
  /**
   * The events in order, in batches for a store; each call starts again.
   * @param fromSeq the first event (1)
   * @throws TransferError when one is missing or cannot be read
   */
  events(fromSeq?: number): AsyncIterable<StoredEvent[]>;
}

/** A run in a file, with its stored digest. */
export interface RunFile extends RunArchive {
  digest: string;
}

/** The transfer is not possible; the message says why and what to do. */
export class TransferError extends Error {
  override name = 'TransferError';
}

/** The error for a file that is not UTF-8. */
export const notUtf8 = (path: string, cause: NotUtf8Error): TransferError =>
  new TransferError(
    `${path} is ${cause.message}: it is not a run of Plumbline, or it was changed after its export. Copy or export it again.`,
    { cause },
  );

/**
 * A run as its store has it now, without later events.
 * @param signal ends the reads, of the events too
 * @throws TransferError when the run does not exist, ReadAbandonedError after `signal`
 */
export async function archiveOf(store: EventStore, runId: RunId, signal?: AbortSignal): Promise<RunArchive> {
  // Commands first: if the run goes on, the ends that they miss are in its events, and a hub that loads the run ends them.
  const commands = await storedCommands(store, runId, signal);
  const summary = await store.run(runId);
  if (!summary) throw new TransferError(`There is no run ${runId} here; --data-dir names another folder.`);
  return { ...storedEvents(store, runId, summary.lastSeq, signal), run: StoredRunRecord.parse(summary), commands };
}

/** Sorts commands, oldest first, and by id within a millisecond, so that every store gives the same order. */
export async function storedCommands(store: EventStore, runId: RunId, signal?: AbortSignal): Promise<CommandRecord[]> {
  return (await store.commands(runId, signal)).sort(byAge);
}
export const byAge = (a: CommandRecord, b: CommandRecord): number =>
  a.receivedMs - b.receivedMs || (a.commandId < b.commandId ? -1 : 1);

/**
 * The events of a run in a store up to `lastSeq`. Reading throws TransferError if the store lacks some: InfluxDB has only
 * delivered events, and a killed hub may have left the last ones in its spool.
 * @param signal ends the reads with ReadAbandonedError
 */
export function storedEvents(
  store: EventStore,
  runId: RunId,
  lastSeq: number,
  signal?: AbortSignal,
): Pick<RunArchive, 'lastSeq' | 'events'> {
  async function* pages(fromSeq: number): AsyncGenerator<StoredEvent> {
    let wanted = maxEventsPerBatch;
    for (let next = fromSeq; next <= lastSeq;) {
      const page = await store.events(runId, next, Math.min(wanted, lastSeq - next + 1), signal);
      if (page.length === 0)
        throw new TransferError(
          `The store cannot be read up to event ${lastSeq} of ${runId} yet, only up to ${next - 1}: the ` +
            'others are on their way to InfluxDB. Start InfluxDB, or wait, then do this again.',
        );
      yield* page;
      next += page.length;
      // Pages of large events are short: the store need not look for more.
      wanted = Math.min(maxEventsPerBatch, 2 * page.length);
    }
  }
  return { lastSeq, events: (fromSeq = 1) => inBatches(pages(fromSeq), fromSeq, lastSeq, `The store's run ${runId}`) };
}

/**
 * Groups events into batches, and checks that they are numbered from `fromSeq` to `lastSeq` without a gap.
 * @param owner of the events, for the error
 */
export async function* inBatches(
  events: AsyncIterable<StoredEvent>,
  fromSeq: number,
  lastSeq: number,
  owner: string,
): AsyncGenerator<StoredEvent[]> {
  let expected = fromSeq;
  let batch: StoredEvent[] = [];
  let size = 0;
  for await (const event of events) {
    if (event.seq !== expected || expected > lastSeq)
      throw new TransferError(
        `${owner} has event ${event.seq} ${expected > lastSeq ? `after the last, ${lastSeq}` : `where ${expected} should be`}.`,
      );
    expected += 1;
    batch.push(event);
    size += sizeOf(event);
    if (batch.length < maxEventsPerBatch && size < maxBatchSize) continue;
    yield batch;
    batch = [];
    size = 0;
  }
  if (expected <= lastSeq)
    throw new TransferError(`${owner} ends after event ${expected - 1} of ${lastSeq}: it was cut short.`);
  if (batch.length > 0) yield batch;
}

/** Metric values, model parameters or similar lengths of text per batch for a store. */
const maxBatchSize = 10_000;

/** Approximate length of a value in JSON. */
const charactersPerValue = 40;

function sizeOf(event: StoredEvent): number {
  if (isMetricEvent(event)) return 1 + Object.keys(event.metrics).length;
  if (isLargeEvent(event)) return 1 + Math.ceil(aboutLength(event) / charactersPerValue);
  if (event.type === 'run_started') return 1 + event.model.parameters.length;
  return 1 + Math.floor(JSON.stringify(event).length / charactersPerValue);
}

/** Skips the events before one: a file can only be read from its beginning. */
export async function* from(fromSeq: number, batches: AsyncIterable<StoredEvent[]>): AsyncGenerator<StoredEvent[]> {
  for await (const batch of batches) {
    const wanted = batch.filter((event) => event.seq >= fromSeq);
    if (wanted.length > 0) yield wanted;
  }
}

/** Characters that are written and hashed in one go. */
const partLength = 32 * 1024;

/** Computes the digest of a run from its canonical lines: its record, its commands, its events. */
export class RunDigest {
  readonly #hash = createHash('sha256');
  readonly #turn = new Turn();

  /** Begins with the record and the commands of a run. */
  static async of(archive: Pick<RunArchive, 'run' | 'commands'>): Promise<RunDigest> {
    const digest = new RunDigest();
    await digest.add(headOf(archive));
    return digest;
  }

  /** Adds values. Yields their canonical lines in parts, and yields the event loop between parts. */
  async *lines(values: Iterable<unknown>): AsyncGenerator<string> {
    let text = '';
    for (const value of values) {
      for (const part of canonicalParts(value)) {
        text += part;
        if (text.length >= partLength) {
          yield this.#hashed(text);
          text = '';
        }
        if (this.#turn.isOver) await this.#turn.next();
      }
      text += '\n';
    }
    if (text !== '') yield this.#hashed(text);
  }

  /** Adds values. */
  async add(values: Iterable<unknown>): Promise<void> {
    for await (const _ of this.lines(values));
  }

  value(): string {
    return `sha256:${this.#hash.digest('hex')}`;
  }

  #hashed(text: string): string {
    this.#hash.update(text);
    return text;
  }
}

/** The record and the commands of a run as they are exported. */
export const headOf = ({ run, commands }: Pick<RunArchive, 'run' | 'commands'>): object[] => [
  recordAsWritten(run),
  ...commands,
];

/** Reads an archive once. */
export async function digestOf(archive: RunArchive): Promise<string> {
  const digest = await RunDigest.of(archive);
  for await (const events of archive.events()) await digest.add(events);
  return digest.value();
}

const Opening = z.object({ format: z.literal(archiveFormat), version: z.number().int().positive() });

/**
 * Checks that data is a complete header of an export, of a version that this program reads.
 * @param name of the file, for the error
 */
export function readOpening<T>(schema: ZodType<T>, data: unknown, name: string): T {
  const opening = Opening.safeParse(data);
  if (!opening.success)
    throw new TransferError(`${name} is not a run of Plumbline. Give an export of \`npm run plumbline -- export\`.`);
  refuseLaterVersion(opening.data.version, archiveVersion, name);
  return readPart(schema, data, name);
}

/** Checks the version. @throws TransferError when a file is of a later version than this program reads */
export function refuseLaterVersion(version: number, known: number, name: string): void {
  if (version > known)
    throw new TransferError(
      `${name} was written by a later version of Plumbline (format ${version}, this one reads up to ${known}). ` +
        'Update Plumbline, then import it.',
    );
}

/** Parses data by a schema. @throws TransferError naming the first fault */
export function readPart<T>(schema: ZodType<T>, data: unknown, name: string): T {
  const parsed = schema.safeParse(data);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  const place = issue.path.length > 0 ? `${issue.path.join('.')}: ` : '';
  throw new TransferError(`${name} is not valid (${place}${issue.message}): it was changed after its export.`);
}
