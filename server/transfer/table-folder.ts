import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { open, rm, stat, writeFile, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { DuckDBInstance, type DuckDBConnection, type DuckDBValue } from '@duckdb/node-api';
import { z } from 'zod';
import { recordOf } from '@plumbline/shared/record';
import { CommandRecord } from '@plumbline/shared/command';
import { toWireNumber, type WireNumber } from '@plumbline/shared/metric';
import { isLargeEvent } from '@plumbline/shared/large-event-notice';
import type { LargeEvent } from '@plumbline/shared/large-event';
import { isControlEvent, isMetricEvent, TrainerEvent, type MetricEvent } from '@plumbline/shared/trainer-event';
import { recordAsWritten, StoredEvent, type StoredControlEvent } from '../store/protocol-1.js';
import { NotUtf8Error, utf8Text } from '@plumbline/shared/utf8-text';
import { canonicalJson } from './canonical-json.js';
import { lines, parsed } from './jsonl-file.js';
import {
  archiveFormat,
  archiveVersionOf,
  Digest,
  from,
  inBatches,
  notUtf8,
  readOpening,
  readPart,
  RunDigest,
  StoredRunRecord,
  TransferError,
  type RunArchive,
  type RunFile,
} from './run-archive.js';

export const tableFormats = ['parquet', 'csv'] as const;
export type TableFormat = (typeof tableFormats)[number];

/** `run.json`: everything except the numbers. */
const Record = z.object({
  format: z.literal(archiveFormat),
  version: z.number().int(),
  /** The file beside it with the numbers. */
  points: z.enum(['points.parquet', 'points.csv']),
  digest: Digest,
  /** Number of metric events and control events. */
  events: z.number().int().nonnegative(),
  run: StoredRunRecord,
  commands: z.array(CommandRecord),
  controlEvents: z.array(StoredEvent),
  /** Number of events in the file of large events, which does not exist if this is 0 or absent. */
  largeEvents: z.number().int().nonnegative().optional(),
});
export const recordName = 'run.json';
/** File of token shifts and examples, one per line. */
export const largeEventsName = 'large-events.jsonl';
/** Size limit of `run.json`: it is read whole, and a string of JavaScript holds half a gigabyte. */
const maxRecordBytes = 256 * 2 ** 20;

/**
 * The long table: a row per value, sorted by event number and then by metric name. A metric event without metrics is one row
 * with neither metric nor value. NaN and infinities are values; the type is the event's.
 */
const columns = {
  seq: 'BIGINT',
  step: 'BIGINT',
  stage: 'BIGINT',
  wall_time_ms: 'DOUBLE',
  type: 'VARCHAR',
  metric: 'VARCHAR',
  value: 'DOUBLE',
};

/**
 * Writes a run as a table and a record into an empty folder, in one pass over the events.
 * @returns the digest of what was written
 */
export async function writeTableFolder(archive: RunArchive, format: TableFormat, folder: string): Promise<string> {
  const digest = await RunDigest.of(archive);
  const controlEvents: StoredControlEvent[] = [];
  const largeEvents = new LargeEventsFile(join(folder, largeEventsName));
  async function* rows(): AsyncGenerator<string> {
    yield `${Object.keys(columns).join(',')}\n`;
    for await (const events of archive.events()) {
      await digest.add(events);
      controlEvents.push(...events.filter(isControlEvent));
      await largeEvents.add(events.filter(isLargeEvent));
      yield events.filter(isMetricEvent).map(csvRows).join('');
    }
  }
  const csv = join(folder, 'points.csv');
  await pipeline(Readable.from(rows()), createWriteStream(csv)).finally(() => largeEvents.close());
  if (format === 'parquet') {
    const parquet = quoted(join(folder, 'points.parquet'));
    await inDuckDb((connection) =>
      connection.run(`COPY (FROM ${csvTable(csv)}) TO ${parquet} (FORMAT parquet, COMPRESSION zstd)`),
    );
    await rm(csv);
  }
  const record: z.input<typeof Record> = {
    format: archiveFormat,
    version: archiveVersionOf(archive.run),
    points: `points.${format}`,
    digest: digest.value(),
    events: archive.lastSeq,
    run: recordAsWritten(archive.run),
    commands: archive.commands,
    controlEvents,
    ...(largeEvents.count > 0 && { largeEvents: largeEvents.count }),
  };
  await writeFile(join(folder, recordName), `${JSON.stringify(record, null, 2)}\n`);
  return record.digest;
}

/**
 * Opens a folder that `writeTableFolder` made. Its events are read on demand.
 * @throws TransferError when a part is missing, of another kind or of a later version
 */
export async function openTableFolder(folder: string): Promise<RunFile> {
  const path = join(folder, recordName);
  if (!existsSync(path))
    throw new TransferError(
      `${folder} has no ${recordName}. Give a folder or file that \`npm run plumbline -- export\` wrote.`,
    );
  const {
    points,
    digest,
    run,
    commands,
    controlEvents,
    largeEvents,
    events: lastSeq,
  } = readOpening(Record, await readJson(path), path);
  const table = join(folder, points);
  if (!existsSync(table))
    throw new TransferError(`${table} is missing. It belongs beside ${recordName}: copy it there too.`);
  const source = points === 'points.csv' ? csvTable(table) : `read_parquet(${quoted(table)})`;

  async function* events(): AsyncGenerator<StoredEvent> {
    let next = 0;
    // Metric events and large events, each from its own file.
    const others = inOrder(
      metricEvents(source, table),
      largeEventsIn(largeEvents ? join(folder, largeEventsName) : null),
    );
    for await (const event of others) {
      while (next < controlEvents.length && controlEvents[next]!.seq < event.seq) yield controlEvents[next++]!;
      yield event;
    }
    yield* controlEvents.slice(next);
  }
  return {
    run,
    commands,
    lastSeq,
    events: (fromSeq = 1) => from(fromSeq, inBatches(events(), 1, lastSeq, folder)),
    digest,
  };
}

/** Writes large events as they come; the file is created with the first one. */
class LargeEventsFile {
  #file: FileHandle | null = null;
  count = 0;

  constructor(readonly path: string) {}

  async add(events: readonly LargeEvent[]): Promise<void> {
    for (const event of events) {
      this.#file ??= await open(this.path, 'wx');
      await this.#file.appendFile(`${canonicalJson(event)}\n`);
      this.count++;
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }
}

async function* largeEventsIn(path: string | null): AsyncGenerator<TrainerEvent> {
  if (path === null) return;
  if (!existsSync(path))
    throw new TransferError(`${path} is missing. It belongs beside ${recordName}: copy it there too.`);
  for await (const { text, number } of lines(path)) {
    const name = `Line ${number} of ${path}`;
    yield readPart(TrainerEvent, parsed(text, number, path), name);
  }
}

/** Merges two ordered streams of events. */
async function* inOrder(
  first: AsyncGenerator<TrainerEvent>,
  second: AsyncGenerator<TrainerEvent>,
): AsyncGenerator<TrainerEvent> {
  try {
    let [a, b] = [await first.next(), await second.next()];
    while (!a.done || !b.done)
      if (b.done || (!a.done && a.value.seq <= b.value.seq)) {
        if (!a.done) yield a.value;
        a = await first.next();
      } else {
        yield b.value;
        b = await second.next();
      }
  } finally {
    await Promise.all([first.return(undefined), second.return(undefined)]);
  }
}

function csvRows({ seq, step, stage, wallTimeMs, type, metrics }: MetricEvent): string {
  const event = `${seq},${step},${stage},${wallTimeMs},${type}`;
  // The shortest text of a number without loss.
  const names = Object.keys(metrics).sort();
  return names.length === 0
    ? `${event},,\n`
    : names.map((name) => `${event},${csvText(name)},${metrics[name]}\n`).join('');
}

/** Escapes a text for CSV (RFC 4180). */
const csvText = (text: string): string => (/[",]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

type Row = [
  seq: number,
  step: number,
  stage: number,
  wallTimeMs: number,
  type: string,
  metric: string | null,
  value: number | null,
];

/** Groups rows into events. */
async function* metricEvents(source: string, table: string): AsyncGenerator<TrainerEvent> {
  let event: Row | null = null;
  let metrics: [string, WireNumber][] = [];
  const whole = ([seq, step, stage, wallTimeMs, type]: Row): TrainerEvent =>
    readPart(
      TrainerEvent,
      { type, seq, step, stage, wallTimeMs, metrics: recordOf(metrics) },
      `Event ${seq} in ${table}`,
    );
  for await (const rows of tableRows(source, table))
    for (const row of rows) {
      const [seq, , , , , metric, value] = row;
      if (event?.[0] !== seq) {
        if (event) yield whole(event);
        event = row;
        metrics = [];
      } else if (!sameEvent(event, row) || metric === null || !((metrics.at(-1)?.[0] ?? metric) < metric))
        throw new TransferError(`The rows of event ${seq} in ${table} do not belong together: the table was changed.`);
      if ((metric === null) !== (value === null))
        throw new TransferError(`Event ${seq} in ${table} has a metric or a value without the other: it was changed.`);
      if (metric !== null && value !== null) metrics.push([metric, toWireNumber(value)]);
    }
  if (event) yield whole(event);
}

const sameEvent = (a: Row, b: Row): boolean => a[1] === b[1] && a[2] === b[2] && a[3] === b[3] && a[4] === b[4];

/**
 * The rows of a table in order. DuckDB's client reports a result that fails midway as ended, so an extra row marks the end.
 */
async function* tableRows(source: string, table: string): AsyncGenerator<Row[]> {
  const instance = await openDuckDb();
  try {
    const connection = await instance.connect();
    const typed = 'seq::DOUBLE, step::DOUBLE, stage::DOUBLE, wall_time_ms, type, metric, value';
    const result = await connection.stream(
      `SELECT ${typed}, FALSE FROM ${source} UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, TRUE`,
    );
    for (;;) {
      const chunk = await result.fetchChunk();
      if (!chunk || chunk.rowCount === 0) return void (await tellFault(connection, `SELECT ${typed} FROM ${source}`));
      const rows = chunk.getRows() as DuckDBValue[][];
      const isEnd = rows.at(-1)!.at(-1) === true;
      yield (isEnd ? rows.slice(0, -1) : rows) as unknown as Row[];
      if (isEnd) return;
    }
  } catch (error) {
    if (error instanceof TransferError) throw error;
    const cause = error instanceof Error ? error.message.split('\n').slice(0, 2).join(', ') : String(error);
    throw new TransferError(`${table} cannot be read: it was cut short or changed. (${cause})`, { cause: error });
  } finally {
    instance.closeSync();
  }
}

/** Finds out why a result broke off, by reading all rows again without keeping them. @throws Error always */
async function tellFault(connection: DuckDBConnection, query: string): Promise<never> {
  await connection.run(`SELECT bit_xor(hash(all_rows)) FROM (${query}) all_rows`);
  throw new Error('reading it broke off');
}

async function inDuckDb(work: (connection: DuckDBConnection) => Promise<unknown>): Promise<void> {
  const instance = await openDuckDb();
  try {
    await work(await instance.connect());
  } finally {
    instance.closeSync();
  }
}

/** One thread, so that rows stay in the order of the file and few are in memory. */
const openDuckDb = (): Promise<DuckDBInstance> => DuckDBInstance.create(':memory:', { threads: '1' });

function csvTable(path: string): string {
  const types = Object.entries(columns).map(([name, type]) => `'${name}': '${type}'`);
  const quotes = `delim = ',', quote = '"', escape = '"'`;
  return `read_csv(${quoted(path)}, header = true, auto_detect = false, ${quotes}, columns = {${types.join(', ')}})`;
}
const quoted = (path: string): string => `'${path.replaceAll("'", "''")}'`;

async function readJson(path: string): Promise<unknown> {
  const { size } = await stat(path);
  if (size > maxRecordBytes)
    throw new TransferError(
      `${path} is too large for the record of a run (${size} bytes of at most ${maxRecordBytes}).`,
    );
  let text = '';
  try {
    for await (const part of utf8Text(createReadStream(path))) text += part;
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof NotUtf8Error) throw notUtf8(path, error);
    throw new TransferError(`${path} is not JSON: it was cut short or changed. Copy or export it again.`, {
      cause: error,
    });
  }
}
