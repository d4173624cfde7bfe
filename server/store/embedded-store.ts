import type { DuckDBConnection, DuckDBValue } from '@duckdb/node-api';
import type { CommandId, CommandRecord } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';
import { DuckDbFile, type Transaction } from './duckdb-file.js';
import { Reader } from './duckdb-reader.js';
import { CommandTable } from './embedded-commands.js';
import { readContents } from './embedded-contents.js';
import { deleteRunRows } from './embedded-deletion.js';
import { addEvents, eachControlText, readEventPage } from './embedded-events.js';
import { eachLargeText } from './embedded-large-events.js';
import { schema } from './embedded-schema.js';
import { SeriesAnswers } from './embedded-series.js';
import {
  newEvents,
  noPosition,
  StoreConflictError,
  type ControlEventOptions,
  type EventStore,
  type HistoryRange,
  type LastPoint,
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
import { describeLoss } from './loss.js';
import { PointOrder } from './point-order.js';
import { upToDateRun, type StoredEvent } from './protocol-1.js';
import { SeriesIds } from './series-ids.js';
import { parseInTurns } from '../parse-in-turns.js';
import { inTurns, Turn } from '../turn.js';
import { widenStages } from './stage-column.js';
import { StoreGuard, type StoreGuardOptions } from './store-guard.js';

export interface EmbeddedStoreOptions extends StoreGuardOptions {
  /** DuckDB's memory limit. */
  memoryBytes: number;
  /** Values that are sorted at a time; by default as many as fit into that memory. */
  rowsPerMove: number;
}

/** The default store: one DuckDB file, with nothing to install or to run beside the hub. */
export class EmbeddedStore implements EventStore {
  readonly #file: DuckDbFile;
  /** Committed position of each run. */
  #positions = new Map<string, Position>();
  #series = new SeriesIds(0);
  /** Positions within the open transaction, visible to its jobs and not to readers. */
  #uncommitted = new WeakMap<Transaction, Map<string, Position>>();

  readonly #guard: StoreGuard;
  readonly #order: PointOrder;
  readonly #commands: CommandTable;
  readonly #answers: SeriesAnswers;

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
    this.#commands = new CommandTable(this.#file, this.#guard);
    this.#answers = new SeriesAnswers(this.#file.memoryBytes);
  }

  /** Opens the file now rather than at first use. @throws StoreUnavailableError */
  open(): Promise<void> {
    return this.#file.open();
  }

  async #load(connection: DuckDBConnection): Promise<void> {
    const reader = new Reader(connection);
    await widenStages(reader);
    const { positions, lastSeriesId, waiting, held } = await readContents(reader);
    this.#positions = positions;
    this.#series = new SeriesIds(lastSeriesId);
    await this.#guard.afterOpening(held);
    this.#order.begin(waiting);
  }

  async condition(): Promise<StoreCondition> {
    await this.#file.open();
    return { losses: this.#guard.losses, fault: this.#guard.fault };
  }

  /** Accepts losses, so that they are no longer reported. @returns a sentence per loss */
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
    // Sorted by the records: older files have other numbers in created_ms and received_ms.
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
        const points = await addEvents(transaction, runId, appended, this.#series);
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

  async events(runId: RunId, fromSeq: number, limit: number, signal?: AbortSignal): Promise<StoredEvent[]> {
    const toSeq = Math.min(await this.lastSeq(runId), fromSeq + limit - 1);
    const page = await this.#file.read((reader) => readEventPage(reader, runId, fromSeq, toSeq), signal);
    const turn = new Turn();
    const events: StoredEvent[] = [];
    for (const event of page)
      events.push(typeof event === 'string' ? ((await parseInTurns(event, turn)) as StoredEvent) : event);
    return events;
  }

  async history(
    runId: RunId,
    range: HistoryRange,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; series: Map<string, Series> }> {
    const series = new Map<string, Series>();
    const take = (metric: string, columns: Series): void => void series.set(metric, columns);
    const { lastSeq } = await this.eachSeries(runId, range, take, signal);
    return { lastSeq, series };
  }

  async eachSeries(
    runId: RunId,
    range: HistoryRange,
    take: TakeSeries<Series>,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number }> {
    // Read first: points up to here are committed, whatever arrives during the query.
    const lastSeq = await this.lastSeq(runId);
    const metrics = await this.#metrics(runId, range.metrics, signal);
    if (metrics.size === 0) return { lastSeq };
    const lastStep = this.#positions.get(runId)?.lastStep ?? 0;
    await this.#file.read((reader) => this.#answers.each(reader, metrics, range, { lastSeq, lastStep }, take), signal);
    return { lastSeq };
  }

  async lastPoints(
    runId: RunId,
    range: Pick<HistoryRange, 'metrics' | 'segments'> = {},
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; points: Map<string, LastPoint> }> {
    const lastSeq = await this.lastSeq(runId);
    const metrics = await this.#metrics(runId, range.metrics, signal);
    const points = await this.#file.read((reader) => this.#answers.lastPoints(reader, metrics, range, lastSeq), signal);
    return { lastSeq, points };
  }

  async windows(runId: RunId, range: WindowRange, signal?: AbortSignal): Promise<Map<string, Windows>> {
    const found = new Map<string, Windows>();
    await this.eachWindows(runId, range, (metric, columns) => void found.set(metric, columns), signal);
    return found;
  }

  async eachWindows(runId: RunId, range: WindowRange, take: TakeSeries<Windows>, signal?: AbortSignal): Promise<void> {
    const lastSeq = await this.lastSeq(runId);
    const metrics = await this.#metrics(runId, range.metrics, signal);
    if (metrics.size === 0) return;
    await this.#file.read((reader) => this.#answers.eachWindows(reader, metrics, range, lastSeq, take), signal);
  }

  async eachControlEvents(
    runId: RunId,
    take: TakeTexts,
    { signal, ...options }: ControlEventOptions = {},
  ): Promise<{ lastSeq: number }> {
    const lastSeq = await this.lastSeq(runId);
    await this.#file.read((reader) => eachControlText(reader, runId, lastSeq, take, options), signal);
    return { lastSeq };
  }

  async eachLargeEvent(
    runId: RunId,
    range: LargeEventRange,
    take: TakeTexts,
    signal?: AbortSignal,
  ): Promise<{ lastSeq: number; earlier: number }> {
    const lastSeq = await this.lastSeq(runId);
    const earlier = await this.#file.read((reader) => eachLargeText(reader, runId, range, lastSeq, take), signal);
    return { lastSeq, earlier };
  }

  putCommand(record: CommandRecord): Promise<void> {
    return this.#commands.put(record);
  }

  command(commandId: CommandId): Promise<CommandRecord | null> {
    return this.#commands.get(commandId);
  }

  async commands(runId: RunId, signal?: AbortSignal): Promise<CommandRecord[]> {
    const records: CommandRecord[] = [];
    await this.eachCommands(
      runId,
      inTurns((text: string) => void records.push(JSON.parse(text) as CommandRecord)),
      signal,
    );
    return records;
  }

  eachCommands(runId: RunId, take: TakeTexts, signal?: AbortSignal): Promise<void> {
    return this.#commands.each(runId, take, signal);
  }

  runsWithOpenCommands(): Promise<RunId[]> {
    return this.#commands.runsWithOpen();
  }

  copyTo(path: string): Promise<void> {
    return this.#file.copyTo(path);
  }

  /** Resolves when fewer values wait to be sorted than one move takes. For tests and benchmarks. */
  async ordered(): Promise<void> {
    await this.#file.open();
    await this.#order.settled();
  }

  close(): Promise<void> {
    this.#order.close();
    return this.#file.close();
  }

  /** Metrics of a run by series id: all, or those asked for. */
  async #metrics(
    runId: RunId,
    asked: readonly string[] | undefined,
    signal: AbortSignal | undefined,
  ): Promise<Map<number, string>> {
    const known = await this.#series.of(runId, (sql, values) =>
      this.#file.read((reader) => reader.manyRows(sql, values), signal),
    );
    const metrics = new Map<number, string>();
    await inTurns((name: string) => {
      const id = known.get(name);
      if (id !== undefined) metrics.set(id, name);
    })(asked ?? known.keys());
    return metrics;
  }

  #read(sql: string, values: (string | number)[] = []): Promise<DuckDBValue[][]> {
    return this.#file.read((reader) => reader.rows(sql, values));
  }

  #summary(record: string): StoredSummary {
    const run = upToDateRun(JSON.parse(record) as StoredRun);
    return { ...run, ...(this.#positions.get(run.runId) ?? noPosition) };
  }
}
