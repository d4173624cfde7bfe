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
import {
  fromWireNumber,
  toWireNumber,
  wallTimeSeries,
  type WireMetrics,
  type WireNumber,
} from '@plumbline/shared/metric';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import { isMetricEvent, type ControlEvent, type MetricEvent } from '@plumbline/shared/trainer-event';
import { bound, DuckDbFile, type Transaction } from './duckdb-file.js';
import { deleteRunRows, deletionSchema } from './embedded-deletion.js';
import {
  AnswerTooLargeError,
  newEvents,
  noPosition,
  StoreConflictError,
  type EventStore,
  type HistoryRange,
  type Position,
  type Series,
  type StoredRun,
  type WindowRange,
  type Windows,
  upToDate,
} from './event-store.js';
import { upToDateEvent, type StoredControlEvent, type StoredEvent } from './protocol-1.js';
import { historyCount, historyQuery, windowsCount, windowsQuery } from './history-query.js';

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
    series_id INTEGER NOT NULL, seq BIGINT NOT NULL, step BIGINT NOT NULL, value DOUBLE NOT NULL
  );
  CREATE TABLE IF NOT EXISTS commands (
    command_id VARCHAR PRIMARY KEY, run_id VARCHAR NOT NULL, received_ms DOUBLE NOT NULL, record VARCHAR NOT NULL
  );
  ${deletionSchema}
`;
const eventTypes = [VARCHAR, BIGINT, BIGINT, INTEGER, DOUBLE, VARCHAR, VARCHAR];
const pointTypes = [INTEGER, BIGINT, BIGINT, DOUBLE];
/** Rows of a DuckDB vector. */
const chunkRows = 2048;

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
      await transaction.run('DELETE FROM deleted_runs WHERE run_id = $1', [run.runId]);
    });
  }

  async updateRun(run: StoredRun): Promise<void> {
    await this.#file.write((transaction) =>
      transaction.run('UPDATE runs SET record = $2 WHERE run_id = $1', [run.runId, JSON.stringify(run)]),
    );
  }

  async deleteRun(runId: RunId): Promise<void> {
    await this.#file.write(async (transaction) => {
      await deleteRunRows(transaction, runId);
      transaction.afterCommit(() => {
        this.#positions.delete(runId);
        this.#series.delete(runId);
      });
    }, true);
  }

  async deletedRuns(): Promise<RunId[]> {
    return (await this.#read('SELECT run_id FROM deleted_runs')).map(([runId]) => runId as RunId);
  }

  async run(runId: RunId): Promise<Omit<RunSummary, 'trainerConnected'> | null> {
    const [row] = await this.#read('SELECT record FROM runs WHERE run_id = $1', [runId]);
    return row ? this.#summary(row[0] as string) : null;
  }

  async runs(): Promise<Omit<RunSummary, 'trainerConnected'>[]> {
    const found = await this.#read('SELECT record FROM runs');
    // By the records: files of before hold other numbers in created_ms and received_ms.
    return found
      .map(([record]) => this.#summary(record as string))
      .sort((a, b) => b.createdMs - a.createdMs || (a.runId < b.runId ? 1 : -1));
  }

  append<E extends StoredEvent>(runId: RunId, events: readonly E[]): Promise<{ lastSeq: number; appended: E[] }> {
    return this.#file.write(async (transaction) => {
      const uncommitted = this.#uncommitted.get(transaction) ?? new Map<string, Position>();
      this.#uncommitted.set(transaction, uncommitted);
      const position = uncommitted.get(runId) ?? this.#positions.get(runId) ?? noPosition;
      const { appended, lastSeq, lastStep } = newEvents(runId, position, events);
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

  async events(runId: RunId, fromSeq: number, limit: number): Promise<StoredEvent[]> {
    const range = [runId, fromSeq, Math.min(await this.lastSeq(runId), fromSeq + limit - 1)];
    const [found, points] = await Promise.all([
      this.#read(
        `SELECT seq::DOUBLE, step::DOUBLE, stage, wall_time_ms, type, payload
         FROM events WHERE run_id = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq`,
        range,
      ),
      this.#read(
        `SELECT seq::DOUBLE, metric, value FROM points JOIN series USING (series_id)
         WHERE run_id = $1 AND seq BETWEEN $2 AND $3 AND metric <> $4 ORDER BY seq, metric`,
        [...range, wallTimeSeries],
      ),
    ]);
    let point = 0;
    return found.map(([seq, step, stage, wallTimeMs, type, payload]) => {
      if (payload !== null) return JSON.parse(payload as string) as StoredControlEvent;
      const metrics: WireMetrics = {};
      for (; points[point]?.[0] === seq; point++)
        metrics[points[point]![1] as string] = toWireNumber(points[point]![2] as number);
      return { type, seq, step, stage, wallTimeMs, metrics } as MetricEvent;
    });
  }

  async history(runId: RunId, range: HistoryRange): Promise<{ lastSeq: number; series: Map<string, Series> }> {
    // Read first: points up to here are committed, whatever else arrives while the query runs.
    const lastSeq = await this.lastSeq(runId);
    const metrics = this.#metrics(runId, range.metrics);
    const series = new Map<string, Series>();
    if (metrics.size === 0) return { lastSeq, series };
    const lastStep = this.#positions.get(runId)?.lastStep ?? 0;
    const ids = [...metrics.keys()];
    const atMost = ids.length * Math.min(range.maxPoints, lastSeq);
    await this.#refuseAbove(range.maxValues, atMost, historyCount(ids, range, lastSeq));
    const { sql, values } = historyQuery(ids, range, lastSeq, lastStep);
    for (const [id, width, ...lists] of await this.#read(sql, values)) {
      const [seqs, steps, numbers] = lists.map(toColumn) as [Float64Array, Float64Array, Float64Array];
      series.set(metrics.get(id as number)!, { seqs, steps, values: numbers, bucketSteps: width as number });
    }
    return { lastSeq, series };
  }

  async windows(runId: RunId, range: WindowRange): Promise<Map<string, Windows>> {
    await this.#file.open();
    const metrics = this.#metrics(runId, range.metrics);
    const found = new Map<string, Windows>();
    if (metrics.size === 0) return found;
    const ids = [...metrics.keys()];
    const atMost = ids.length * (range.everySteps === undefined ? 1 : (this.#positions.get(runId)?.lastSeq ?? 0));
    await this.#refuseAbove(range.maxValues, atMost, windowsCount(ids, range));
    const { sql, values } = windowsQuery(ids, range);
    for (const [id, ...lists] of await this.#read(sql, values)) {
      const [fromSteps, counts, minima, maxima, means, lasts] = lists.map(toColumn) as Float64Array[];
      found.set(metrics.get(id as number)!, {
        ...{ fromSteps: fromSteps!, counts: counts!, minima: minima!, maxima: maxima!, means: means!, lasts: lasts! },
      });
    }
    return found;
  }

  async controlEvents(runId: RunId): Promise<{ lastSeq: number; events: ControlEvent[] }> {
    const lastSeq = await this.lastSeq(runId);
    const found = await this.#read(
      'SELECT payload FROM events WHERE run_id = $1 AND payload IS NOT NULL AND seq <= $2 ORDER BY seq',
      [runId, lastSeq],
    );
    const stored = found.map(([payload]) => JSON.parse(payload as string) as StoredControlEvent);
    return { lastSeq, events: stored.map(upToDateEvent) };
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
    const found = await this.#read('SELECT record FROM commands WHERE run_id = $1', [runId]);
    return found
      .map(([record]) => JSON.parse(record as string) as CommandRecord)
      .sort((a, b) => a.receivedMs - b.receivedMs || (a.commandId < b.commandId ? -1 : 1));
  }

  async runsWithOpenCommands(): Promise<RunId[]> {
    // Within a string the quotes would be escaped; a key of this name deeper inside is one run too many.
    const found = await this.#read(`SELECT DISTINCT run_id FROM commands WHERE record LIKE '%"state":"pending"%'`);
    return found.map(([runId]) => runId as RunId);
  }

  copyTo(path: string): Promise<void> {
    return this.#file.copyTo(path);
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  async #write(transaction: Transaction, runId: RunId, events: readonly StoredEvent[]): Promise<void> {
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
      const points: [string, WireNumber][] = Object.entries(event.metrics);
      if (event.type === 'step_completed') points.push([wallTimeSeries, event.wallTimeMs]);
      for (const [metric, value] of points) {
        const id = this.#seriesOf(runId).get(metric) ?? (await this.#addSeries(transaction, runId, metric));
        pointRows.push([id, seq, step, fromWireNumber(value)]);
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

  /** The metrics of a run by their series' ids; of those asked for where names are given. */
  #metrics(runId: RunId, asked: readonly string[] | undefined): Map<number, string> {
    const known = this.#series.get(runId) ?? new Map<string, number>();
    const names = asked ?? [...known.keys()];
    return new Map(names.flatMap((name) => (known.has(name) ? [[known.get(name)!, name] as const] : [])));
  }

  /** Counts only where the answer could be too large. */
  async #refuseAbove(maxValues = Infinity, atMost: number, count: { sql: string; values: (string | number)[] }) {
    if (atMost <= maxValues) return;
    const [row] = await this.#read(count.sql, count.values);
    if ((row![0] as number) > maxValues) throw new AnswerTooLargeError(maxValues);
  }

  #read(sql: string, values: (string | number)[] = []): Promise<DuckDBValue[][]> {
    return this.#file.read((connection) => rows(connection, sql, values));
  }

  #summary(record: string): Omit<RunSummary, 'trainerConnected'> {
    const run = upToDate(JSON.parse(record) as StoredRun);
    return { ...run, ...(this.#positions.get(run.runId) ?? noPosition) };
  }
}

const toColumn = (list: DuckDBValue): Float64Array => Float64Array.from((list as DuckDBListValue).items as number[]);

async function rows(
  connection: DuckDBConnection,
  sql: string,
  values: (string | number)[] = [],
): Promise<DuckDBValue[][]> {
  return (await connection.runAndReadAll(sql, ...bound(values))).getRows();
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
