import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DuckDBInstance, type DuckDBConnection, type DuckDBMaterializedResult } from '@duckdb/node-api';
import { checkpointBytes, Checkpoints, type CheckpointLimits } from './checkpoints.js';
import { explain, isOutOfMemory } from './duckdb-failure.js';
import { bound, Reader } from './duckdb-reader.js';
import {
  ReadAbandonedError,
  ReadTooLargeError,
  SequenceGapError,
  StoreConflictError,
  StoreUnavailableError,
} from './event-store.js';
import { TableWriter } from './table-writer.js';

/** A transaction, shared by the jobs of one commit. */
export interface Transaction {
  run(sql: string, values?: readonly (string | number)[]): Promise<DuckDBMaterializedResult>;
  /** Appends rows to a table; they are in the table once all jobs of the transaction have run. */
  rowsOf(table: string): Promise<TableWriter>;
  /** Runs once the commit is durable, before any job's caller hears of it. */
  afterCommit(effect: () => void): void;
}

/** Default memory of DuckDB for tables, sorting and grouping, in bytes. */
export const defaultMemoryBytes = 128 * 2 ** 20;
/** Largest size of the write-ahead log, however much memory there is: a start replays it. */
const maxLogBytes = 64 * 2 ** 20;
/** The same beside a copy of the file. A copy of a large store beside fast trainers would never end with less. */
const maxLogBytesBesideCopy = 512 * 2 ** 20;
/** Log size at which DuckDB takes a checkpoint as part of a commit: never. */
const neverInCommit = '1TB';
/** DuckDB spills to disk up to this many times its memory. */
const diskPerMemory = 16;
/** Longest time that a read without memory waits for other reads to end. */
const waitForOthersMs = 5000;
/** With less memory per thread, threads compete for it. */
const bytesPerThread = 64 * 2 ** 20;

interface ReadOptions {
  signal?: AbortSignal | undefined;
  /** The connection has a transaction of its own. */
  isTransaction?: boolean;
}

interface Job {
  work: (transaction: Transaction) => Promise<unknown>;
  /** The job has a commit of its own. */
  isAlone: boolean;
  /** The job has a transaction of its own, on another connection. */
  isOutside: boolean;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

/** The handles of an open file. */
interface OpenFile {
  instance: DuckDBInstance;
  writer: DuckDBConnection;
  /** Writers by table, of the tables that were appended to. */
  tables: Map<string, TableWriter>;
}

/** Guards the contents of a file when it is opened and at each commit; see StoreGuard. */
export interface FileGuard {
  /** Why nothing more can be stored until the process ends, or null. */
  readonly fault: StoreUnavailableError | null;
  /** @throws StoreUnavailableError when opening the file would lose data */
  beforeOpening(): Promise<void>;
  /** @throws StoreUnavailableError when the open files are no longer the ones at the path */
  demandFiles(): void;
  /** Resolves when the commit is recorded, so that its callers can be answered. Never rejects. */
  noted(): Promise<void>;
  closeFiles(): void;
  close(): Promise<void>;
}

/** Most jobs in one commit. Waiting jobs share a commit, so that one sync to disk serves many callers. */
const maxJobsPerCommit = 64;

/**
 * One DuckDB file with one writer. A commit is durable when it returns: DuckDB syncs its write-ahead log at commit.
 * After a failure the file is closed, and the next call opens it again: freeing disk space is enough to recover.
 */
export class DuckDbFile {
  #opening: Promise<OpenFile> | null = null;
  #jobs: Job[] = [];
  #draining: Promise<void> | null = null;
  /**
   * Reads under way, each with a function that ends it. An instance must not be closed while one runs: DuckDB would keep
   * it, and its lock on the file, alive.
   */
  readonly #reading = new Map<Promise<unknown>, (reason: Error) => void>();
  /** Number of reads begun so far. */
  #begun = 0;
  /** Reads that ran out of memory are repeated one after another. */
  #turn: Promise<void> = Promise.resolve();
  readonly #checkpoints: Checkpoints;
  /** The last checkpoint failed. The next write takes it first, and fails if that fails again. */
  #checkpointFailed = false;
  #closing: Promise<void> | null = null;
  #closed = false;
  /** Answers that wait for the guard to record their commit. */
  #answering: Promise<void> = Promise.resolve();

  /**
   * @param onOpened loads the caller's in-memory state; called each time the file is opened
   * @param guard absent for a file whose content does not matter
   * @param memoryBytes DuckDB's memory limit; it caches pages of the file up to this
   */
  constructor(
    readonly path: string,
    readonly schema: string,
    readonly onOpened: (connection: DuckDBConnection) => Promise<void>,
    readonly guard: FileGuard | null = null,
    readonly memoryBytes = defaultMemoryBytes,
    logBytes: CheckpointLimits = {
      wantedBytes: checkpointBytes,
      maxBytes: Math.min(memoryBytes, maxLogBytes),
      maxBytesBesideCopy: maxLogBytesBesideCopy,
    },
  ) {
    this.#checkpoints = new Checkpoints(logBytes, () => this.#onIdle());
  }

  /** @throws StoreUnavailableError when the file cannot be opened or written */
  async open(): Promise<void> {
    await this.#open();
  }

  /**
   * Runs `work` in a transaction that may be shared with other jobs, and resolves when it is durable.
   * A refusal (sequence gap, conflict) must be thrown before anything is written; it affects this job only.
   * @param isAlone the job shares no transaction. In a shared one, rows of an appender are invisible until the commit, and
   *   a deleted key is not free yet.
   * @throws StoreUnavailableError when nothing was kept
   */
  write<T>(work: (transaction: Transaction) => Promise<T>, isAlone = false): Promise<T> {
    return this.#queue(work, { isAlone, isOutside: false });
  }

  /**
   * Runs a long transaction on a connection of its own while the writer goes on committing. No checkpoint is taken while
   * it is open. Its commit takes the writer's turn: an appender blocks the event loop, and must not wait for a commit.
   * @param work must not change rows that a job of `write` changes meanwhile
   * @throws as `read` does; nothing is kept then
   */
  beside<T>(work: (reader: Reader) => Promise<T>): Promise<T> {
    const transaction = async (reader: Reader): Promise<T> => {
      await reader.rows('BEGIN TRANSACTION');
      const result = await work(reader);
      const commit = async (): Promise<void> => {
        // The file may have been closed meanwhile.
        if (!reader.signal.aborted) await reader.rows('COMMIT');
      };
      await reader.hand(() => this.#queue(commit, { isAlone: true, isOutside: true }));
      return result;
    };
    return this.#read(transaction, { isTransaction: true });
  }

  #queue<T>(
    work: (transaction: Transaction) => Promise<T>,
    { isAlone, isOutside }: { isAlone: boolean; isOutside: boolean },
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#jobs.push({ work, isAlone, isOutside, resolve: (value) => resolve(value as T), reject });
      this.#draining ??= this.#drain();
    });
  }

  /**
   * Reads committed data on a connection of its own, beside the writer. A read that is ended by closing the file is
   * repeated at the next opening, unless part of its answer was already taken. A read that finds no memory because of other
   * reads is repeated once, when they have ended or after a while.
   * @param query may be called more than once
   * @param signal ends the read and interrupts its query; a read with a signal answers a client
   * @throws ReadAbandonedError after `signal`, ReadTooLargeError, ReadInterruptedError, StoreUnavailableError
   */
  read<T>(query: (reader: Reader) => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#read(query, { signal });
  }

  async #read<T>(query: (reader: Reader) => Promise<T>, options: ReadOptions): Promise<T> {
    const { signal } = options;
    for (let isFirst = true; ;) {
      const begunBefore = this.#begun;
      const hadOthers = this.#reading.size > 0;
      try {
        return await this.#readOnce(query, options);
      } catch (error) {
        if (error instanceof FileClosedError && !error.wasTaken) continue;
        const others = hadOthers || this.#begun > begunBefore + 1;
        if (!(error instanceof ReadTooLargeError) || error.wasTaken || !others || !isFirst) throw error;
        isFirst = false;
        // One after another: together they would run out of memory again.
        const turn = this.#turn.then(() => this.#othersEnded(signal));
        this.#turn = turn;
        await turn;
      }
    }
  }

  /** Resolves when the current reads have ended, or after a while: a reader may be slow. */
  async #othersEnded(signal?: AbortSignal): Promise<void> {
    const waiting = new AbortController();
    const abort = (): void => waiting.abort();
    signal?.addEventListener('abort', abort, { once: true });
    const late = sleep(waitForOthersMs, undefined, { signal: waiting.signal }).catch(() => undefined);
    if (signal?.aborted) abort();
    await Promise.race([Promise.allSettled([...this.#reading.keys()]), late]);
    abort();
    signal?.removeEventListener('abort', abort);
  }

  async #readOnce<T>(
    query: (reader: Reader) => Promise<T>,
    { signal, isTransaction = false }: ReadOptions,
  ): Promise<T> {
    const ended = new AbortController();
    let reader: Reader | undefined;
    const onAbort = (): void => ended.abort(new ReadAbandonedError('The reader is gone.'));
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    const work = async (): Promise<T> => {
      const { instance } = await this.#open();
      ended.signal.throwIfAborted();
      const connection = await instance.connect();
      ended.signal.addEventListener('abort', () => connection.interrupt(), { once: true });
      try {
        const turns = { checkpoints: this.#checkpoints, isOfClient: signal !== undefined };
        const begun = (reader = new Reader(connection, ended.signal, isTransaction ? null : turns));
        if (isTransaction) return await this.#checkpoints.transaction(ended.signal, () => query(begun));
        return await query(begun);
      } finally {
        connection.closeSync();
      }
    };
    this.#begun++;
    const reading = work();
    this.#reading.set(reading, (reason) => ended.abort(reason));
    try {
      return await reading;
    } catch (error) {
      // The query says that it was interrupted; the reason says why.
      const reason = ended.signal.reason as Error | undefined;
      if (reason instanceof FileClosedError) throw new FileClosedError(reader?.wasTaken);
      if (reason) throw reason;
      if (reader && !reader.fileFailed) throw error;
      throw isOutOfMemory(error) ? new ReadTooLargeError(error, reader?.wasTaken) : explain(error, this.path);
    } finally {
      signal?.removeEventListener('abort', onAbort);
      this.#reading.delete(reading);
    }
  }

  /**
   * Copies the committed data to a new file, in one transaction: a consistent snapshot. The writer does not wait for it.
   * @throws StoreUnavailableError when either file fails, FileClosedError when this one is closed meanwhile,
   *   ReadInterruptedError when the log reaches its limit beside a copy. `path` may have a part of the store then.
   */
  async copyTo(path: string): Promise<void> {
    const copy = `copy_${randomUUID().replaceAll('-', '')}`;
    await this.read(async (reader) => {
      const [[source]] = (await reader.rows('SELECT current_database()')) as [[string]];
      // A copy that began anew would find its own part.
      reader.wasTaken = true;
      await reader.rows(`ATTACH '${path.replaceAll("'", "''")}' AS ${copy}`);
      try {
        await reader.copy(`COPY FROM DATABASE "${source}" TO ${copy}`);
        // Moves everything into the one file, with no write-ahead log beside it.
        await reader.copy(`CHECKPOINT ${copy}`);
      } finally {
        await reader.rows(`DETACH ${copy}`);
      }
    });
  }

  async close(): Promise<void> {
    await this.#draining;
    await this.#answering;
    this.#closed = true;
    await this.#abandon();
    await this.guard?.close();
  }

  async #open(): Promise<OpenFile> {
    await this.#closing;
    if (this.#closed) throw new StoreUnavailableError('The store is closed.');
    this.#opening ??= this.#openFile().catch((error: unknown) => {
      this.#opening = null;
      throw explain(error, this.path);
    });
    return this.#opening;
  }

  async #openFile(): Promise<OpenFile> {
    mkdirSync(dirname(this.path), { recursive: true, mode: 0o700 });
    await this.guard?.beforeOpening();
    let instance: DuckDBInstance | null = null;
    try {
      const spill = join(`${this.path}.tmp`, randomUUID());
      mkdirSync(dirname(spill), { recursive: true, mode: 0o700 });
      instance = await DuckDBInstance.create(this.path, {
        memory_limit: `${Math.floor(this.memoryBytes / 2 ** 20)}MiB`,
        threads: String(Math.max(1, Math.min(availableParallelism(), Math.floor(this.memoryBytes / bytesPerThread)))),
        temp_directory: spill,
        // Returns freed memory to the operating system.
        allocator_background_threads: 'true',
        allocator_flush_threshold: '8MiB',
        checkpoint_threshold: neverInCommit,
        max_temp_directory_size: `${Math.floor((diskPerMemory * this.memoryBytes) / 2 ** 20)}MiB`,
      });
      // Spill files of a killed process. The file is locked by now, so nobody uses them.
      for (const name of readdirSync(dirname(spill)))
        if (join(dirname(spill), name) !== spill) rmSync(join(dirname(spill), name), { recursive: true, force: true });
      const writer = await instance.connect();
      // A damaged file must stay as it is.
      await writer.run('PRAGMA disable_checkpoint_on_shutdown');
      await writer.run(this.schema);
      await this.onOpened(writer);
      await writer.run('PRAGMA enable_checkpoint_on_shutdown');
      return { instance, writer, tables: new Map() };
    } catch (error) {
      instance?.closeSync();
      throw error;
    }
  }

  /** Closes the file once its reads have ended. Callers that come meanwhile wait and open it again. */
  #abandon(): Promise<void> {
    const opening = this.#opening;
    this.#opening = null;
    // Ends the current reads: a slow reader must not keep the file open. Later reads wait until this has ended.
    const reading = [...this.#reading.keys()];
    for (const end of this.#reading.values()) end(new FileClosedError());
    this.#closing = (async () => {
      const open = await opening?.catch(() => null);
      await Promise.allSettled(reading);
      if (open) await dropAppended(open);
      if (open) await this.#keepFromFiles(open.writer);
      this.guard?.closeFiles();
      open?.writer.closeSync();
      open?.instance.closeSync();
    })();
    return this.#closing;
  }

  /**
   * DuckDB keeps the file open until the last result is garbage-collected. A checkpoint at that point would remove the log
   * of whoever has the file open by then, so it is disabled; the log is replayed at the next opening.
   */
  async #keepFromFiles(writer: DuckDBConnection): Promise<void> {
    // No checkpoint after a fault: the files at the path may be others. If it fails, the log keeps its content.
    if (this.#closed && !this.guard?.fault) await writer.run('CHECKPOINT').catch(() => undefined);
    await writer.run('PRAGMA disable_checkpoint_on_shutdown').catch(() => undefined);
  }

  async #drain(): Promise<void> {
    // Calls of the same tick share the first commit.
    await Promise.resolve();
    for (;;) {
      if (await this.#checkpoints.isTurn(this.#logBytes())) await this.#checkpoint();
      if (this.#jobs.length === 0) break;
      if (this.#jobs[0]!.isOutside) await this.#commitOutside(this.#jobs.shift()!);
      else await this.#commit(this.#jobs.splice(0, this.#nextCommit()));
    }
    this.#draining = null;
    // The last query may have ended meanwhile.
    this.#onIdle();
  }

  /** Takes a checkpoint that waited for the last query to end. One that failed waits for the next write. */
  #onIdle(): void {
    if (this.#closed || this.#checkpointFailed || this.#draining || !this.#checkpoints.isIdle) return;
    if (this.#checkpoints.isWanted(this.#logBytes())) this.#draining = this.#drain();
  }

  #logBytes(): number {
    try {
      return statSync(`${this.path}.wal`, { throwIfNoEntry: false })?.size ?? 0;
    } catch {
      // The size is unknown, so a checkpoint counts as due.
      return checkpointBytes;
    }
  }

  /** Moves the log into the file. If that fails, the waiting writes fail too: the log must not grow without end. */
  async #checkpoint(): Promise<void> {
    try {
      const { writer } = await this.#open();
      this.guard?.demandFiles();
      await writer.run('CHECKPOINT');
      this.#checkpointFailed = false;
    } catch (error) {
      this.#checkpointFailed = true;
      const waiting = this.#jobs.splice(0);
      // Of files that are gone, the open one is all that is left: it stays open, to be copied.
      const isGone = Boolean(this.guard?.fault) && error === this.guard?.fault;
      if (!isGone) await this.#abandon();
      const failure = isGone ? error : explain(error, this.path);
      for (const job of waiting) job.reject(failure);
    } finally {
      this.#checkpoints.taken();
    }
  }

  async #commitOutside({ work, resolve, reject }: Job): Promise<void> {
    // The job has a connection of its own.
    await (work as () => Promise<unknown>)().then(resolve, reject);
  }

  /** Number of waiting jobs that make up the next commit. */
  #nextCommit(): number {
    const alone = this.#jobs.findIndex(({ isAlone }) => isAlone);
    return Math.min(maxJobsPerCommit, alone < 0 ? this.#jobs.length : Math.max(1, alone));
  }

  async #commit(jobs: Job[]): Promise<void> {
    const answers: (() => void)[] = [];
    const waiting = new Set(jobs);
    try {
      const { writer, tables } = await this.#open();
      this.guard?.demandFiles();
      const appended = new Set<TableWriter>();
      const effects: (() => void)[] = [];
      const transaction: Transaction = {
        run: (sql, values = []) => writer.run(sql, ...bound(values)),
        rowsOf: async (table) => {
          const rows = tables.get(table) ?? (await TableWriter.open(writer, table));
          tables.set(table, rows);
          appended.add(rows);
          return rows;
        },
        afterCommit: (effect) => effects.push(effect),
      };
      await writer.run('BEGIN TRANSACTION');
      for (const job of jobs) {
        try {
          const value = await job.work(transaction);
          answers.push(() => job.resolve(value));
        } catch (error) {
          if (!(error instanceof SequenceGapError || error instanceof StoreConflictError)) throw error;
          waiting.delete(job);
          job.reject(error);
        }
      }
      for (const rows of appended) rows.flush();
      await writer.run('COMMIT');
      this.guard?.demandFiles();
      for (const effect of effects) effect();
      // The next commit need not wait until this one is recorded.
      const noted = this.guard?.noted();
      const answer = () => answers.forEach((one) => one());
      if (noted) this.#answering = noted.then(answer);
      else answer();
    } catch (error) {
      // The open file is all that is left: it stays open, so that it can be copied.
      if (this.guard?.fault && error === this.guard.fault) {
        for (const job of waiting) job.reject(error);
        return;
      }
      // Closing without a commit rolls back; the in-memory state is loaded again at the next opening.
      await this.#abandon();
      const failure = explain(error, this.path);
      for (const job of waiting) job.reject(failure);
    }
  }
}

/**
 * Cleans up after a failed commit. An appender that still holds rows would write them when it is freed, possibly after the
 * file was opened again.
 */
async function dropAppended({ writer, tables }: OpenFile): Promise<void> {
  const quietly = (sql: string): Promise<unknown> => writer.run(sql).catch(() => undefined);
  await quietly('ROLLBACK');
  await quietly('BEGIN TRANSACTION');
  for (const rows of tables.values()) rows.drop();
  await quietly('ROLLBACK');
}

/** The file was closed during a read, after a failed write or for good. */
export class FileClosedError extends StoreUnavailableError {
  constructor(readonly wasTaken = false) {
    super('The store was closed for a moment. Try again.');
  }
}
