import type { DuckDBConnection, DuckDBValue } from '@duckdb/node-api';
import { recordOf } from '@plumbline/shared/record';
import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import {
  fromWireNumber,
  toWireNumber,
  wallTimeSeries,
  type WireMetrics,
  type WireNumber,
} from '@plumbline/shared/metric';
import { isLargeEvent, largeEventTypes, type LargeEvent } from '@plumbline/shared/large-event';
import type { RunId } from '@plumbline/shared/run';
import { isMetricEvent, type ControlEvent, type MetricEvent } from '@plumbline/shared/trainer-event';
import { DuckDbFile, type Transaction } from './duckdb-file.js';
import { Reader } from './duckdb-reader.js';
import type { Held } from './acknowledged-ledger.js';
import { deleteRunRows, deletionSchema } from './embedded-deletion.js';
import {
  AnswerTooLargeError,
  newestOf,
  newEvents,
  noPosition,
  StoreConflictError,
  type EventStore,
  type HistoryRange,
  type LargeEventRange,
  type Position,
  type Series,
  type StoreCondition,
  type StoredRun,
  type StoredSummary,
  type TakeSeries,
  type TakeTexts,
  type WindowRange,
  type Windows,
} from './event-store.js';
import { allPoints, PointOrder, pointOrderSchema } from './point-order.js';
import { SeriesColumns } from './series-columns.js';
import { SeriesIds } from './series-ids.js';
import { historyQuery, largeEventsQuery, lengthsQuery, windowsCount, windowsQuery } from './history-query.js';
import { inBatches } from './series-batches.js';
import { textParts } from './text-parts.js';
import { widenStages } from './stage-column.js';
import { describeLoss } from './loss.js';
import { StoreGuard, type StoreGuardOptions } from './store-guard.js';
import { Turn } from '../turn.js';
import { upToDateRun, upToDateText, type StoredControlEvent, type StoredEvent } from './protocol-1.js';

/**
 * `points` is the long table of all numbers, until they are moved to `sorted_points` (see point-order.ts); `events` has
 * one row an event, with the payload of control events. `large_events` has the JSON texts of large ones, and of
 * control events that are as long, in parts, each row with the bytes of the whole. None has an index: (run, seq) is kept unique by the one writer, and column statistics make scans cheap.
 */
export const schema = `
  CREATE TABLE IF NOT EXISTS runs (run_id VARCHAR PRIMARY KEY, created_ms DOUBLE NOT NULL, record VARCHAR NOT NULL);
  CREATE TABLE IF NOT EXISTS events (
    run_id VARCHAR NOT NULL, seq BIGINT NOT NULL, step BIGINT NOT NULL, stage BIGINT,
    wall_time_ms DOUBLE NOT NULL, type VARCHAR NOT NULL, payload VARCHAR
  );
  CREATE TABLE IF NOT EXISTS large_events (
    run_id VARCHAR NOT NULL, seq BIGINT NOT NULL, step BIGINT NOT NULL, type VARCHAR NOT NULL,
    bytes BIGINT NOT NULL, part BIGINT NOT NULL, text VARCHAR NOT NULL
  );
  CREATE TABLE IF NOT EXISTS series (series_id INTEGER NOT NULL, run_id VARCHAR NOT NULL, metric VARCHAR NOT NULL);
  CREATE TABLE IF NOT EXISTS points (
    series_id INTEGER NOT NULL, seq BIGINT NOT NULL, step BIGINT NOT NULL, value DOUBLE NOT NULL
  );
  CREATE TABLE IF NOT EXISTS commands (
    command_id VARCHAR PRIMARY KEY, run_id VARCHAR NOT NULL, received_ms DOUBLE NOT NULL, record VARCHAR NOT NULL
  );
  ${deletionSchema}
  ${pointOrderSchema}
`;
/** What `events` reads at one time, beside its first event: JSON text of control events, and values of metric events. */
const maxPageBytes = 2 * 2 ** 20;
const maxPageValues = 50_000;
/** DuckDB keeps longer texts apart, each whole, and cannot write its file where a few do not fit in its memory. */
const largePartBytes = 4000;
/** A control event whose text is longer is kept in such parts: the start of a run with 50,000 parameters has 27 MB. */
const maxPayloadLength = 100_000;

/** As SQL has them in a list. */
const largeTypes = largeEventTypes.map((type) => `'${type}'`).join(', ');

/** What DuckDB takes to group by series and window, with room for three queries at one time. */
const bytesPerGroup = 1024;
/** A thinned series has three points a bucket, and its query groups by bucket several times. */
const pointGroups = 2 / 3;

/** What there is of a series in a range of steps. */
interface SeriesLength {
  points: number;
  firstStep: number;
  lastStep: number;
}
interface BatchOptions {
  range: WindowRange;
  lastSeq: number;
  lengthOf: (length: SeriesLength) => number;
  groupsPerPoint: number;
}

export interface EmbeddedStoreOptions extends StoreGuardOptions {
  /** What DuckDB may take. */
  memoryBytes: number;
  /** How many values are put in order at one time; as many as fit in that memory where it is not given. */
  rowsPerMove: number;
}

/** The default store: one DuckDB file, nothing to install or run beside the hub. */
export class EmbeddedStore implements EventStore {
  readonly #file: DuckDbFile;
  /** How far each run is committed. */
  #positions = new Map<string, Position>();
  #series = this.#seriesFrom(0);
  /** What the transaction under way has added; jobs of one transaction see it, readers do not. */
  #uncommitted = new WeakMap<Transaction, Map<string, Position>>();

  readonly #guard: StoreGuard;
  readonly #order: PointOrder;

  constructor(
    path: string,
    {
      memoryBytes,
      rowsPerMove,
      onProblem = console.error,
      onMended = console.error,
    }: Partial<EmbeddedStoreOptions> = {},
  ) {
    this.#guard = new StoreGuard(path, { onProblem, onMended });
    this.#file = new DuckDbFile(path, schema, (connection) => this.#load(connection), this.#guard, memoryBytes);
    this.#order = new PointOrder(this.#file, onProblem, rowsPerMove);
  }

  /** Opens the file now rather than at first use. @throws StoreUnavailableError */
  open(): Promise<void> {
    return this.#file.open();
  }

  async #load(connection: DuckDBConnection): Promise<void> {
    const reader = new Reader(connection);
    await widenStages(reader);
    const positions = await reader.rows(
      'SELECT run_id, max(seq)::DOUBLE, arg_max(step, seq)::DOUBLE FROM events GROUP BY run_id',
    );
    const [[lastSeriesId]] = (await reader.rows('SELECT coalesce(max(series_id), 0) FROM series')) as [[number]];
    const [[waiting]] = (await reader.rows('SELECT count(*)::DOUBLE FROM points')) as [[number]];
    this.#positions = new Map(
      positions.map(([runId, lastSeq, lastStep]) => [
        runId as string,
        { lastSeq: lastSeq as number, lastStep: lastStep as number },
      ]),
    );
    this.#series = this.#seriesFrom(lastSeriesId);
    await this.#guard.afterOpening(await held(reader, this.#positions));
    this.#order.begin(waiting);
  }

  #seriesFrom(lastId: number): SeriesIds {
    return new SeriesIds((sql, values) => this.#file.read((reader) => reader.rows(sql, values)), lastId);
  }

  async condition(): Promise<StoreCondition> {
    await this.#file.open();
    return { losses: this.#guard.losses, fault: this.#guard.fault };
  }

  /** What was found to be gone is told no more. @returns a sentence for each of it */
  async acceptLosses(): Promise<string[]> {
    await this.#file.open();
    return (await this.#guard.ledger.accept()).map(describeLoss);
  }

  async createRun(run: StoredRun): Promise<void> {
    await this.#file.write(async (transaction) => {
      const taken = await transaction.run('SELECT 1 FROM runs WHERE run_id = $1', [run.runId]);
      if (taken.rowCount > 0) throw new StoreConflictError(`There is a run ${run.runId} already.`);
      await transaction.run('INSERT INTO runs VALUES ($1, $2, $3)', [run.runId, run.createdMs, JSON.stringify(run)]);
      await transaction.run('DELETE FROM deleted_runs WHERE run_id = $1', [run.runId]);
      transaction.afterCommit(() => {
        this.#series.begin(run.runId);
        this.#guard.ledger.count(run.runId, { lastSeq: 0, commands: 0 });
      });
    });
  }

  async updateRun(run: StoredRun): Promise<void> {
    await this.#file.write((transaction) =>
      transaction.run('UPDATE runs SET record = $2 WHERE run_id = $1', [run.runId, JSON.stringify(run)]),
    );
  }

  async deleteRun(runId: RunId): Promise<void> {
    const deletion = async (transaction: Transaction): Promise<void> => {
      await deleteRunRows(transaction, runId);
      const left = await transaction.run('SELECT count(*)::DOUBLE FROM points');
      const [[waiting]] = (await left.getRows()) as [[number]];
      transaction.afterCommit(() => {
        this.#order.counted(waiting);
        this.#positions.delete(runId);
        this.#series.forget(runId);
        this.#guard.ledger.delete(runId);
      });
    };
    await this.#order.pause(() => this.#file.write(deletion, true));
  }

  async deletedRuns(): Promise<RunId[]> {
    return (await this.#read('SELECT run_id FROM deleted_runs')).map(([runId]) => runId as RunId);
  }

  async run(runId: RunId): Promise<StoredSummary | null> {
    const [row] = await this.#read('SELECT record FROM runs WHERE run_id = $1', [runId]);
    return row ? this.#summary(row[0] as string) : null;
  }

  async runs(): Promise<StoredSummary[]> {
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
        const points = await this.#write(transaction, runId, appended);
        uncommitted.set(runId, { lastSeq, lastStep });
        transaction.afterCommit(() => {
          this.#positions.set(runId, { lastSeq, lastStep });
          this.#guard.ledger.count(runId, { lastSeq });
          this.#order.added(points);
          this.#series.trim();
        });
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
    return this.#file.read(async (reader) => {
      // Up to the event with which the texts become too long. Their lengths are read first, without the texts.
      const found = await reader.rows(
        `WITH lengths AS MATERIALIZED (
           SELECT seq, strlen(payload) AS length FROM events
           WHERE run_id = $1 AND payload IS NOT NULL AND seq BETWEEN $2 AND $3
           UNION ALL
           SELECT seq, bytes FROM large_events WHERE run_id = $1 AND part = 0 AND seq BETWEEN $2 AND $3),
           longer AS (SELECT seq, sum(length) OVER (ORDER BY seq) AS bytes FROM lengths)
         SELECT seq::DOUBLE, step::DOUBLE, stage::DOUBLE, wall_time_ms, type, payload FROM events
         WHERE run_id = $1 AND seq BETWEEN $2 AND coalesce((SELECT min(seq) FROM longer WHERE bytes > $4), $3)`,
        [...range, maxPageBytes],
      );
      // Sorted here: DuckDB holds the texts that it sorts several times.
      found.sort(([a], [b]) => (a as number) - (b as number));
      const lastFound = (found.at(-1)?.[0] as number | undefined) ?? 0;
      const large = await this.#largeTexts(reader, runId, fromSeq, lastFound);
      const metrics = new Map<number, WireMetrics>();
      // Values come in order of their event: where there are too many, the events from the last one begun on are left out.
      let [values, endSeq] = [0, Infinity];
      await reader.chunks(
        `SELECT seq::DOUBLE, metric, value FROM ${allPoints} JOIN series USING (series_id)
         WHERE run_id = $1 AND seq BETWEEN $2 AND $3 AND metric <> $4 ORDER BY seq, metric`,
        [runId, fromSeq, lastFound, wallTimeSeries],
        (chunk) => {
          const [seqs, names, numbers] = chunk.getColumns() as [number[], string[], number[]];
          for (const [i, seq] of seqs.entries()) {
            const isNew = !metrics.has(seq);
            if (isNew && values > maxPageValues) {
              endSeq = seq;
              return false;
            }
            if (isNew) metrics.set(seq, recordOf());
            metrics.get(seq)![names[i]!] = toWireNumber(numbers[i]!);
            values++;
          }
          return true;
        },
      );
      return found
        .filter(([seq]) => (seq as number) < endSeq)
        .map(([seq, step, stage, wallTimeMs, type, payload]) => {
          if (payload !== null) return JSON.parse(payload as string) as StoredControlEvent;
          const text = large.get(seq as number);
          if (text !== undefined) return JSON.parse(text) as StoredEvent;
          return {
            type,
            seq,
            step,
            stage,
            wallTimeMs,
            metrics: metrics.get(seq as number) ?? recordOf(),
          } as MetricEvent;
        });
    });
  }

  async history(runId: RunId, range: HistoryRange): Promise<{ lastSeq: number; series: Map<string, Series> }> {
    const series = new Map<string, Series>();
    const { lastSeq } = await this.eachSeries(runId, range, (metric, columns) => void series.set(metric, columns));
    return { lastSeq, series };
  }

  async eachSeries(
    runId: RunId,
    range: HistoryRange,
    take: TakeSeries<Series>,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number }> {
    // Read first: points up to here are committed, whatever else arrives while the query runs.
    const lastSeq = await this.lastSeq(runId);
    const metrics = await this.#metrics(runId, range.metrics);
    if (metrics.size === 0) return { lastSeq };
    const lastStep = this.#positions.get(runId)?.lastStep ?? 0;
    const ids = [...metrics.keys()];
    await this.#file.read(async (reader) => {
      const lengthOf = (length: SeriesLength): number => Math.min(length.points, range.maxPoints);
      const batches = await this.#batches(reader, ids, { range, lastSeq, lengthOf, groupsPerPoint: pointGroups });
      for (const batch of batches) {
        const { sql, values } = historyQuery(batch, range, lastSeq, lastStep);
        // Width, event number, step, value.
        const columns = new SeriesColumns(4, ([width, seqs, steps, numbers], id) =>
          take(metrics.get(id)!, { seqs: seqs!, steps: steps!, values: numbers!, bucketSteps: width![0]! }),
        );
        await reader.chunks(sql, values, (chunk) => columns.add(chunk));
        await reader.hand(() => columns.end());
      }
    }, signal);
    return { lastSeq };
  }

  async windows(runId: RunId, range: WindowRange): Promise<Map<string, Windows>> {
    const found = new Map<string, Windows>();
    await this.eachWindows(runId, range, (metric, columns) => void found.set(metric, columns));
    return found;
  }

  async eachWindows(runId: RunId, range: WindowRange, take: TakeSeries<Windows>, signal?: AbortSignal): Promise<void> {
    const lastSeq = await this.lastSeq(runId);
    const metrics = await this.#metrics(runId, range.metrics);
    if (metrics.size === 0) return;
    const ids = [...metrics.keys()];
    await this.#file.read(async (reader) => {
      const { fromStep = 0, everySteps = Infinity } = range;
      const windowOf = (step: number): number => Math.floor((step - fromStep) / everySteps);
      // At most: one for each point, and for each width between the first and the last.
      const lengthOf = ({ points, firstStep, lastStep }: SeriesLength): number =>
        Math.min(points, windowOf(lastStep) - windowOf(firstStep) + 1);
      const count = async (ids: number[]): Promise<[number, number]> => {
        const { sql, values } = windowsCount(ids, range);
        return (await reader.rows(sql, values))[0] as [number, number];
      };
      const batches = await this.#batches(reader, ids, { range, lastSeq, lengthOf, groupsPerPoint: 1 }, count);
      for (const batch of batches) {
        const { sql, values } = windowsQuery(batch, range);
        const columns = new SeriesColumns(6, ([fromSteps, counts, minima, maxima, means, lasts], id) =>
          take(metrics.get(id)!, {
            ...{ fromSteps: fromSteps!, counts: counts!, minima: minima!, maxima: maxima! },
            ...{ means: means!, lasts: lasts! },
          }),
        );
        await reader.chunks(sql, values, (chunk) => columns.add(chunk));
        await reader.hand(() => columns.end());
      }
    }, signal);
  }

  /**
   * Series in batches that are grouped in memory, of an answer that may be given.
   * @param lengthOf values of a series in the answer, at most
   * @param count those of all series and of the longest, exactly, where `lengthOf` may be more than there are
   * @throws AnswerTooLargeError
   */
  async #batches(
    reader: Reader,
    ids: number[],
    { range, lastSeq, lengthOf, groupsPerPoint }: BatchOptions,
    count?: (ids: number[]) => Promise<[number, number]>,
  ): Promise<number[][]> {
    const groupsPerBatch = this.#file.memoryBytes / bytesPerGroup / groupsPerPoint;
    const { maxValues = Infinity, maxSeriesValues = Infinity } = range;
    const longest = lengthOf({ points: lastSeq, firstStep: 0, lastStep: Number.MAX_SAFE_INTEGER });
    // Short whatever there is of it: no need to look.
    if (ids.length * longest <= Math.min(maxValues, maxSeriesValues, groupsPerBatch)) return [ids];
    const { sql, values } = lengthsQuery(ids, range, lastSeq);
    const found = (await reader.rows(sql, values)) as [number, number, number, number][];
    const lengths = new Map(
      found.map(([id, points, firstStep, lastStep]) => [id, lengthOf({ points, firstStep, lastStep })]),
    );
    let all = [...lengths.values()].reduce((sum, length) => sum + length, 0);
    let most = [...lengths.values()].reduce((most, length) => Math.max(most, length), 0);
    if (count && (all > maxValues || most > maxSeriesValues)) [all, most] = await count(ids);
    if (all > maxValues) throw new AnswerTooLargeError(maxValues);
    if (most > maxSeriesValues) throw new AnswerTooLargeError(maxSeriesValues, 'of one metric');
    return inBatches([...lengths.keys()], (id) => lengths.get(id)!, groupsPerBatch);
  }

  async controlEvents(runId: RunId): Promise<{ lastSeq: number; events: ControlEvent[] }> {
    const events: ControlEvent[] = [];
    const { lastSeq } = await this.eachControlEvents(runId, (texts) => {
      for (const text of texts) events.push(JSON.parse(text) as ControlEvent);
    });
    return { lastSeq, events };
  }

  async eachControlEvents(
    runId: RunId,
    take: TakeTexts,
    { types, signal }: { types?: readonly ControlEvent['type'][]; signal?: AbortSignal } = {},
  ): Promise<{ lastSeq: number }> {
    const lastSeq = await this.lastSeq(runId);
    const ofTypes = types ? `AND type IN (${types.map((type) => `'${type}'`).join(', ')})` : '';
    const where = `run_id = $1 AND payload IS NOT NULL AND seq BETWEEN $2 AND $3 ${ofTypes}`;
    await this.#file.read(async (reader) => {
      // Lengths are sorted, long texts are not: DuckDB holds what it sorts several times.
      const lengths = (await reader.rows(
        `SELECT seq::DOUBLE, strlen(payload)::DOUBLE, FALSE FROM events WHERE ${where}
         UNION ALL
         SELECT seq::DOUBLE, bytes::DOUBLE, TRUE FROM large_events
         WHERE run_id = $1 AND part = 0 AND type NOT IN (${largeTypes}) AND seq BETWEEN $2 AND $3 ${ofTypes}
         ORDER BY 1`,
        [runId, 1, lastSeq],
      )) as [seq: number, bytes: number, isInParts: boolean][];
      const inParts = new Set(lengths.flatMap(([seq, , isInParts]) => (isInParts ? [seq] : [])));
      // Each that is in parts is a page by itself.
      const pages = textPages(lengths.map(([seq, bytes, isInParts]) => [seq, isInParts ? Infinity : bytes]));
      for (const [first, last] of pages)
        if (inParts.has(first)) {
          const texts = await this.#largeTexts(reader, runId, first, last);
          await reader.hand(() => take([...texts.values()].map(upToDateText)));
        } else
          await reader.chunks(
            `SELECT payload FROM events WHERE ${where} ${first === last ? '' : 'ORDER BY seq'}`,
            [runId, first, last],
            (chunk) => take((chunk.getColumnValues(0) as string[]).map(upToDateText)),
          );
    }, signal);
    return { lastSeq };
  }

  async eachLargeEvent(
    runId: RunId,
    range: LargeEventRange,
    take: TakeTexts,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; earlier: number }> {
    const lastSeq = await this.lastSeq(runId);
    let earlier = 0;
    await this.#file.read(async (reader) => {
      const { sql, values } = largeEventsQuery(runId, range, lastSeq);
      const found = (await reader.rows(sql, values)) as [seq: number, bytes: number, all: number][];
      const wanted = newestOf(
        found.map(([seq, bytes]) => ({ seq, bytes })),
        range,
      );
      earlier = (found[0]?.[2] ?? 0) - wanted.length;
      for (const page of inBatches(wanted, ({ bytes }) => bytes, maxPageBytes)) {
        const texts = await this.#largeTexts(reader, runId, page[0]!.seq, page.at(-1)!.seq, range.type);
        await reader.hand(() => take(page.map(({ seq }) => texts.get(seq)!)));
      }
    }, signal);
    return { lastSeq, earlier };
  }

  /** JSON texts of the large events between two numbers, by number. */
  async #largeTexts(
    reader: Reader,
    runId: RunId,
    first: number,
    last: number,
    type?: LargeEvent['type'],
  ): Promise<Map<number, string>> {
    const parts = await reader.rows(
      `SELECT seq::DOUBLE, text FROM large_events
       WHERE run_id = $1 AND seq BETWEEN $2 AND $3 ${type ? `AND type = '${type}'` : ''} ORDER BY seq, part`,
      [runId, first, last],
    );
    const texts = new Map<number, string>();
    for (const [seq, text] of parts as [number, string][]) texts.set(seq, (texts.get(seq) ?? '') + text);
    return texts;
  }

  async putCommand(record: CommandRecord): Promise<void> {
    await this.#file.write(async (transaction) => {
      const { commandId, runId, receivedMs } = record;
      const known = await transaction.run('SELECT 1 FROM commands WHERE command_id = $1', [commandId]);
      await transaction.run('INSERT OR REPLACE INTO commands VALUES ($1, $2, $3, $4)', [
        ...[commandId, runId, receivedMs],
        JSON.stringify(record),
      ]);
      const { ledger } = this.#guard;
      if (known.rowCount === 0)
        transaction.afterCommit(() => ledger.count(runId, { commands: ledger.commands(runId) + 1 }));
    });
  }

  async command(commandId: CommandId): Promise<CommandRecord | null> {
    const [row] = await this.#read('SELECT record FROM commands WHERE command_id = $1', [commandId]);
    return row ? (JSON.parse(row[0] as string) as CommandRecord) : null;
  }

  async commands(runId: RunId): Promise<CommandRecord[]> {
    const records: CommandRecord[] = [];
    await this.eachCommands(runId, (texts) => {
      for (const text of texts) records.push(JSON.parse(text) as CommandRecord);
    });
    return records;
  }

  async eachCommands(runId: RunId, take: TakeTexts, signal?: AbortSignal): Promise<void> {
    // In order of the records' own times: files of older versions hold other numbers in received_ms.
    const sql = `SELECT record FROM commands WHERE run_id = $1
      ORDER BY (record->>'$.receivedMs')::DOUBLE, command_id`;
    await this.#eachText(sql, [runId], take, signal);
  }

  async runsWithOpenCommands(): Promise<RunId[]> {
    // Within a string the quotes would be escaped; a key of this name deeper inside is one run too many.
    const found = await this.#read(`SELECT DISTINCT run_id FROM commands WHERE record LIKE '%"state":"pending"%'`);
    return found.map(([runId]) => runId as RunId);
  }

  copyTo(path: string): Promise<void> {
    return this.#file.copyTo(path);
  }

  /** Resolves when the values that wait to be put in order are fewer than are moved at one time. For tests and benchmarks. */
  async ordered(): Promise<void> {
    await this.#file.open();
    await this.#order.settled();
  }

  close(): Promise<void> {
    this.#order.close();
    return this.#file.close();
  }

  /** @returns how many values were written */
  async #write(transaction: Transaction, runId: RunId, events: readonly StoredEvent[]): Promise<number> {
    const eventRows = await transaction.rowsOf('events');
    const pointRows = await transaction.rowsOf('points');
    const ids = await this.#series.of(runId);
    let written = 0;
    const turn = new Turn();
    for (const event of events) {
      if (turn.isOver) await turn.next();
      const seq = BigInt(event.seq);
      const step = BigInt(event.step);
      const isMetric = isMetricEvent(event);
      const stage = isMetric ? BigInt(event.stage) : null;
      const text = isMetric ? null : JSON.stringify(event);
      const isInParts = text !== null && (isLargeEvent(event) || text.length > maxPayloadLength);
      const payload = isInParts ? null : text;
      eventRows.append([runId, seq, step, stage, event.wallTimeMs, event.type, payload]);
      if (isInParts) {
        const largeRows = await transaction.rowsOf('large_events');
        const bytes = BigInt(Buffer.byteLength(text));
        for (const [part, piece] of textParts(text, largePartBytes).entries())
          largeRows.append([runId, seq, step, event.type, bytes, BigInt(part), piece]);
      }
      if (!isMetric) continue;
      const points: [string, WireNumber][] = Object.entries(event.metrics);
      if (event.type === 'step_completed') points.push([wallTimeSeries, event.wallTimeMs]);
      for (const [metric, value] of points) {
        const id = ids.get(metric) ?? (await this.#addSeries(transaction, runId, ids, metric));
        pointRows.append([id, seq, step, fromWireNumber(value)]);
      }
      written += points.length;
    }
    return written;
  }

  /** A failed transaction loads everything anew, so the id may be remembered before the commit. */
  async #addSeries(transaction: Transaction, runId: RunId, ids: Map<string, number>, metric: string): Promise<number> {
    const id = this.#series.add(runId, ids, metric);
    (await transaction.rowsOf('series')).append([id, runId, metric]);
    return id;
  }

  /** The metrics of a run by their series' ids; of those asked for where names are given. */
  async #metrics(runId: RunId, asked: readonly string[] | undefined): Promise<Map<number, string>> {
    const known = await this.#series.of(runId);
    const names = asked ?? [...known.keys()];
    return new Map(names.flatMap((name) => (known.has(name) ? [[known.get(name)!, name] as const] : [])));
  }

  #read(sql: string, values: (string | number)[] = []): Promise<DuckDBValue[][]> {
    return this.#file.read((reader) => reader.rows(sql, values));
  }

  /** The first column of the rows, in parts. */
  async #eachText(sql: string, values: (string | number)[], take: TakeTexts, signal?: AbortSignal): Promise<void> {
    await this.#file.read(
      (reader) => reader.chunks(sql, values, (chunk) => take(chunk.getColumnValues(0) as string[])),
      signal,
    );
  }

  #summary(record: string): StoredSummary {
    const run = upToDateRun(JSON.parse(record) as StoredRun);
    return { ...run, ...(this.#positions.get(run.runId) ?? noPosition) };
  }
}

/** First and last number of events whose texts are read together, of all numbers with the lengths of their texts. */
function textPages(lengths: readonly [number, number][]): [number, number][] {
  const pages: [number, number][] = [];
  let bytes = Infinity;
  for (const [seq, length] of lengths) {
    bytes += length;
    if (bytes <= maxPageBytes) pages.at(-1)![1] = seq;
    else {
      pages.push([seq, seq]);
      bytes = length;
    }
  }
  return pages;
}

/** What the ledger counts, as the file has it. */
async function held(reader: Reader, positions: ReadonlyMap<string, Position>): Promise<Held> {
  const runs = await reader.rows('SELECT run_id FROM runs');
  const commands = await reader.rows('SELECT run_id, count(*)::DOUBLE FROM commands GROUP BY run_id');
  const deleted = await reader.rows('SELECT run_id FROM deleted_runs');
  const counts = new Map(commands as [string, number][]);
  const ids = new Set([...(runs as [string][]).map(([runId]) => runId), ...positions.keys()]);
  return {
    runs: new Map(
      [...ids].map((runId) => [runId, { ...(positions.get(runId) ?? noPosition), commands: counts.get(runId) ?? 0 }]),
    ),
    deleted: new Set((deleted as [string][]).map(([runId]) => runId)),
  };
}
