import {
  DOUBLE,
  BIGINT,
  INTEGER,
  VARCHAR,
  DuckDBDataChunk,
  type DuckDBConnection,
  type DuckDBListValue,
  type DuckDBValue,
} from '@duckdb/node-api';
import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import { fromWireNumber } from '@plumbline/shared/metric';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import { isMetricEvent, type ControlEvent, type TrainerEvent } from '@plumbline/shared/trainer-event';
import { DuckDbFile, type Transaction } from './duckdb-file.js';
import {
  SequenceGapError,
  StoreConflictError,
  type EventStore,
  type HistoryRange,
  type Series,
  type StoredRun,
} from './event-store.js';
import { historyQuery } from './history-query.js';

/**
 * `points` is the long table of all numbers; `events` has one row an event, with the payload of control events.
 * Neither has an index: (run, seq) is kept unique by the one writer, and column statistics make scans cheap.
 */
const schema = `
  CREATE TABLE IF NOT EXISTS runs (run_id VARCHAR PRIMARY KEY, created_ms DOUBLE NOT NULL, record VARCHAR NOT NULL);
  CREATE TABLE IF NOT EXISTS events (
    run_id VARCHAR NOT NULL, seq BIGINT NOT NULL, step BIGINT NOT NULL, stage INTEGER,
    wall_time_ms DOUBLE NOT NULL, type VARCHAR NOT NULL, payload VARCHAR
  );
  CREATE TABLE IF NOT EXISTS series (series_id INTEGER NOT NULL, run_id VARCHAR NOT NULL, metric VARCHAR NOT NULL);
  CREATE TABLE IF NOT EXISTS points (
    series_id INTEGER NOT NULL, seq BIGINT NOT NULL, step BIGINT NOT NULL,
    wall_time_ms DOUBLE NOT NULL, value DOUBLE NOT NULL
  );
  CREATE TABLE IF NOT EXISTS commands (
    command_id VARCHAR PRIMARY KEY, run_id VARCHAR NOT NULL, received_ms DOUBLE NOT NULL, record VARCHAR NOT NULL
  );
`;
const eventTypes = [VARCHAR, BIGINT, BIGINT, INTEGER, DOUBLE, VARCHAR, VARCHAR];
const pointTypes = [INTEGER, BIGINT, BIGINT, DOUBLE, DOUBLE];
/** Rows of a DuckDB vector. */
const chunkRows = 2048;

interface Position {
  lastSeq: number;
  lastStep: number;
}
const start: Position = { lastSeq: 0, lastStep: 0 };

/** The default store: one DuckDB file, nothing to install or run beside the hub. */
export class EmbeddedStore implements EventStore {
  readonly #file: DuckDbFile;
  /** How far each run is committed. */
  #positions = new Map<string, Position>();
  /** Committed series ids by run and metric. */
  #series = new Map<string, Map<string, number>>();
  #lastSeriesId = 0;
  /** What the transaction under way has added; jobs of one transaction see it, readers do not. */
  #uncommitted = new WeakMap<Transaction, Map<string, Position>>();

  constructor(path: string) {
    this.#file = new DuckDbFile(path, schema, (connection) => this.#load(connection));
  }

  /** Opens the file now rather than at first use. @throws StoreUnavailableError */
  open(): Promise<void> {
    return this.#file.open();
  }

  async #load(connection: DuckDBConnection): Promise<void> {
    const positions = await rows(
      connection,
      'SELECT run_id, max(seq)::DOUBLE, max(step)::DOUBLE FROM events GROUP BY run_id',
    );
    const series = await rows(connection, 'SELECT run_id, metric, series_id FROM series');
    this.#positions = new Map(
      positions.map(([runId, lastSeq, lastStep]) => [
        runId as string,
        { lastSeq: lastSeq as number, lastStep: lastStep as number },
      ]),
    );
    this.#series = new Map();
    this.#lastSeriesId = 0;
    for (const [runId, metric, id] of series as [string, string, number][]) {
      this.#seriesOf(runId).set(metric, id);
      this.#lastSeriesId = Math.max(this.#lastSeriesId, id);
    }
  }

  async createRun(run: StoredRun): Promise<void> {
    await this.#file.write(async (transaction) => {
      const taken = await transaction.run('SELECT 1 FROM runs WHERE run_id = $1', [run.runId]);
      if (taken.rowCount > 0) throw new StoreConflictError(`There is a run ${run.runId} already.`);
      await transaction.run('INSERT INTO runs VALUES ($1, $2, $3)', [run.runId, run.createdMs, JSON.stringify(run)]);
    });
  }

  async updateRun(run: StoredRun): Promise<void> {
    await this.#file.write((transaction) =>
      transaction.run('UPDATE runs SET record = $2 WHERE run_id = $1', [run.runId, JSON.stringify(run)]),
    );
  }

  async run(runId: RunId): Promise<Omit<RunSummary, 'trainerConnected'> | null> {
    const [row] = await this.#read('SELECT record FROM runs WHERE run_id = $1', [runId]);
    return row ? this.#summary(row[0] as string) : null;
  }

  async runs(): Promise<Omit<RunSummary, 'trainerConnected'>[]> {
    const found = await this.#read('SELECT record FROM runs ORDER BY created_ms DESC, run_id DESC');
    return found.map(([record]) => this.#summary(record as string));
  }

  append(runId: RunId, events: readonly TrainerEvent[]): Promise<{ lastSeq: number; appended: TrainerEvent[] }> {
    return this.#file.write(async (transaction) => {
      const uncommitted = this.#uncommitted.get(transaction) ?? new Map<string, Position>();
      this.#uncommitted.set(transaction, uncommitted);
      const position = uncommitted.get(runId) ?? this.#positions.get(runId) ?? start;
      const appended = events.filter((event) => event.seq > position.lastSeq);
      let { lastSeq, lastStep } = position;
      for (const event of appended) {
        if (event.seq !== lastSeq + 1) throw new SequenceGapError(runId, lastSeq, event.seq);
        lastSeq = event.seq;
        lastStep = Math.max(lastStep, event.step);
      }
      if (appended.length > 0) {
        await this.#write(transaction, runId, appended);
        uncommitted.set(runId, { lastSeq, lastStep });
        transaction.afterCommit(() => this.#positions.set(runId, { lastSeq, lastStep }));
      }
      return { lastSeq, appended };
    });
  }

  async lastSeq(runId: RunId): Promise<number> {
    await this.#file.open();
    return this.#positions.get(runId)?.lastSeq ?? 0;
  }

  async history(runId: RunId, range: HistoryRange): Promise<{ lastSeq: number; series: Map<string, Series> }> {
    // Read first: points up to here are committed, whatever else arrives while the query runs.
    const lastSeq = await this.lastSeq(runId);
    const { sql, values } = historyQuery(runId, range, lastSeq);
    const series = new Map<string, Series>();
    for (const [metric, ...lists] of await this.#read(sql, values)) {
      const [seqs, steps, wallTimesMs, numbers] = lists.map((list) =>
        Float64Array.from((list as DuckDBListValue).items as number[]),
      ) as [Float64Array, Float64Array, Float64Array, Float64Array];
      series.set(metric as string, { seqs, steps, wallTimesMs, values: numbers });
    }
    return { lastSeq, series };
  }

  async controlEvents(runId: RunId): Promise<{ lastSeq: number; events: ControlEvent[] }> {
    const lastSeq = await this.lastSeq(runId);
    const found = await this.#read(
      'SELECT payload FROM events WHERE run_id = $1 AND payload IS NOT NULL AND seq <= $2 ORDER BY seq',
      [runId, lastSeq],
    );
    return { lastSeq, events: found.map(([payload]) => JSON.parse(payload as string) as ControlEvent) };
  }

  async putCommand(record: CommandRecord): Promise<void> {
    await this.#file.write((transaction) =>
      transaction.run('INSERT OR REPLACE INTO commands VALUES ($1, $2, $3, $4)', [
        record.commandId,
        record.runId,
        record.receivedMs,
        JSON.stringify(record),
      ]),
    );
  }

  async command(commandId: CommandId): Promise<CommandRecord | null> {
    const [row] = await this.#read('SELECT record FROM commands WHERE command_id = $1', [commandId]);
    return row ? (JSON.parse(row[0] as string) as CommandRecord) : null;
  }

  async commands(runId: RunId): Promise<CommandRecord[]> {
    const found = await this.#read('SELECT record FROM commands WHERE run_id = $1 ORDER BY received_ms, command_id', [
      runId,
    ]);
    return found.map(([record]) => JSON.parse(record as string) as CommandRecord);
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #write(transaction: Transaction, runId: RunId, events: readonly TrainerEvent[]): Promise<void> {
    const eventRows = new RowBuffer(eventTypes);
    const pointRows = new RowBuffer(pointTypes);
    for (const event of events) {
      const seq = BigInt(event.seq);
      const step = BigInt(event.step);
      const isMetric = isMetricEvent(event);
      const stage = isMetric ? event.stage : null;
      const payload = isMetric ? null : JSON.stringify(event);
      eventRows.push([runId, seq, step, stage, event.wallTimeMs, event.type, payload]);
      if (!isMetric) continue;
      for (const [metric, value] of Object.entries(event.metrics)) {
        const id = this.#seriesOf(runId).get(metric) ?? (await this.#addSeries(transaction, runId, metric));
        pointRows.push([id, seq, step, event.wallTimeMs, fromWireNumber(value)]);
      }
    }
    for (const [table, buffer] of [
      ['events', eventRows],
      ['points', pointRows],
    ] as const) {
      const appender = await transaction.appender(table);
      for (const chunk of buffer.chunks()) appender.appendDataChunk(chunk);
    }
  }

  /** A failed transaction loads everything anew, so the id may be remembered before the commit. */
  async #addSeries(transaction: Transaction, runId: RunId, metric: string): Promise<number> {
    const id = ++this.#lastSeriesId;
    this.#seriesOf(runId).set(metric, id);
    const appender = await transaction.appender('series');
    appender.appendInteger(id);
    appender.appendVarchar(runId);
    appender.appendVarchar(metric);
    appender.endRow();
    return id;
  }

  #seriesOf(runId: string): Map<string, number> {
    const known = this.#series.get(runId) ?? new Map<string, number>();
    this.#series.set(runId, known);
    return known;
  }

  #read(sql: string, values: DuckDBValue[] = []): Promise<DuckDBValue[][]> {
    return this.#file.read((connection) => rows(connection, sql, values));
  }

  #summary(record: string): Omit<RunSummary, 'trainerConnected'> {
    const run = JSON.parse(record) as StoredRun;
    return { ...run, ...(this.#positions.get(run.runId) ?? start) };
  }
}

async function rows(connection: DuckDBConnection, sql: string, values: DuckDBValue[] = []): Promise<DuckDBValue[][]> {
  return (await connection.runAndReadAll(sql, values)).getRows();
}

/** Rows by column, handed over as DuckDB chunks: several times faster than appending value by value. */
class RowBuffer {
  readonly #columns: DuckDBValue[][];

  constructor(readonly types: typeof eventTypes | typeof pointTypes) {
    this.#columns = types.map(() => []);
  }

  push(row: DuckDBValue[]): void {
    row.forEach((value, column) => this.#columns[column]!.push(value));
  }

  *chunks(): Generator<DuckDBDataChunk> {
    for (let from = 0; from < this.#columns[0]!.length; from += chunkRows) {
      const part = this.#columns.map((column) => column.slice(from, from + chunkRows));
      const chunk = DuckDBDataChunk.create(this.types, part[0]!.length);
      chunk.setColumns(part);
      yield chunk;
    }
  }
}
