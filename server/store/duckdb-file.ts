import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { DuckDBInstance, type DuckDBConnection, type DuckDBMaterializedResult } from '@duckdb/node-api';
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

/** What the jobs that share one commit work with. */
export interface Transaction {
  run(sql: string, values?: readonly (string | number)[]): Promise<DuckDBMaterializedResult>;
  /** Rows of a table that are appended; they are in the table once all jobs of the transaction have run. */
  rowsOf(table: string): Promise<TableWriter>;
  /** Runs once the commit is durable, before any job's caller hears of it. */
  afterCommit(effect: () => void): void;
}

/** Bytes that DuckDB may take for tables, sorting and grouping where no setting says so. */
export const defaultMemoryBytes = 128 * 2 ** 20;
/** What does not fit in memory goes to disk, up to this many times the memory. */
const diskPerMemory = 16;
/** How long a read that found no memory waits for others at most. */
const waitForOthersMs = 5000;
/** With less than this a thread, threads take memory from each other. */
const bytesPerThread = 64 * 2 ** 20;

interface Job {
  work: (transaction: Transaction) => Promise<unknown>;
  /** Shares its commit with no other. */
  isAlone: boolean;
  /** Has a transaction of its own, on another connection. */
  isOutside: boolean;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

/** What is open of the file. */
interface OpenFile {
  instance: DuckDBInstance;
  writer: DuckDBConnection;
  /** By table, those that something was appended to. */
  tables: Map<string, TableWriter>;
}

/** Watches over what a file holds, around its opening and its commits; see StoreGuard. */
export interface FileGuard {
  /** Why nothing more can be stored until the process ends, or null. */
  readonly fault: StoreUnavailableError | null;
  /** @throws StoreUnavailableError when opening the file would lose something */
  beforeOpening(): Promise<void>;
  /** @throws StoreUnavailableError when the open files are not those at the path */
  demandFiles(): void;
  /** Resolves when what was committed is noted, so that whoever waits for it can be answered. Never rejects. */
  noted(): Promise<void>;
  closeFiles(): void;
  close(): Promise<void>;
}

/** Jobs that wait are committed together, so that one sync to disk serves many callers; this many at most. */
const maxJobsPerCommit = 64;

/**
 * One DuckDB file with one writer. A commit is durable when it returns: DuckDB syncs its write-ahead log at commit.
 * After a failure the file is closed, and the next call opens it again, so a disk that has room again is enough to go on.
 */
export class DuckDbFile {
  #opening: Promise<OpenFile> | null = null;
  #jobs: Job[] = [];
  #draining: Promise<void> | null = null;
  /**
   * Reads under way, each with what ends it. An instance must not be closed under one: DuckDB would keep it, and its hold
   * on the file, alive.
   */
  readonly #reading = new Map<Promise<unknown>, (reason: Error) => void>();
  /** Reads begun so far. */
  #begun = 0;
  /** Reads that found no memory begin anew one after another. */
  #turn: Promise<void> = Promise.resolve();
  #closing: Promise<void> | null = null;
  #closed = false;
  /** Answers that wait for the guard to have noted their commit. */
  #answering: Promise<void> = Promise.resolve();

  /**
   * @param onOpened reads what the caller keeps in memory; called each time the file is opened
   * @param guard none for a file whose content is of no worth
   * @param memoryBytes what DuckDB may take; it keeps pages of the file up to this
   */
  constructor(
    readonly path: string,
    readonly schema: string,
    readonly onOpened: (connection: DuckDBConnection) => Promise<void>,
    readonly guard: FileGuard | null = null,
    readonly memoryBytes = defaultMemoryBytes,
  ) {}

  /** @throws StoreUnavailableError when the file cannot be opened or written */
  async open(): Promise<void> {
    await this.#open();
  }

  /**
   * Runs `work` in a transaction that may be shared with other jobs, and resolves when it is durable.
   * A refusal (sequence gap, conflict) must be thrown before anything is written; it concerns this job only.
   * @param isAlone it shares no transaction: rows that an appender was given in one are in no table before its commit,
   *   and a key that was deleted in one is not free in it
   * @throws StoreUnavailableError when nothing of it was kept
   */
  write<T>(work: (transaction: Transaction) => Promise<T>, isAlone = false): Promise<T> {
    return this.#queue(work, { isAlone, isOutside: false });
  }

  /**
   * A long transaction on a connection of its own, beside the writer, whose commits go on. Only its own commit takes the
   * writer's turn: a commit may write a checkpoint, which waits for answers that are being read. An appender, which
   * stands the event loop still, would wait for the checkpoint, and nobody would read on.
   * @param work must change no row that a job of `write` changes meanwhile
   * @throws as `read` does; nothing of it is kept then
   */
  beside<T>(work: (reader: Reader) => Promise<T>): Promise<T> {
    return this.read(async (reader) => {
      await reader.rows('BEGIN TRANSACTION');
      const result = await work(reader);
      const commit = async (): Promise<void> => {
        // Closed while it waited for its turn.
        if (!reader.signal.aborted) await reader.rows('COMMIT');
      };
      await reader.hand(() => this.#queue(commit, { isAlone: true, isOutside: true }));
      return result;
    });
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
   * Reads on a connection of its own, beside the writer: sees what is committed. A read that the closing of the file has
   * ended begins anew with the next opening, unless part of its answer was taken by then. One for which other reads left
   * no memory begins anew too, once, when they have ended or after a while.
   * @param query may be called more than once
   * @param signal ends the read, and interrupts the query that it is at
   * @throws ReadAbandonedError after `signal`, ReadTooLargeError, StoreUnavailableError
   */
  async read<T>(query: (reader: Reader) => Promise<T>, signal?: AbortSignal): Promise<T> {
    for (let isFirst = true; ;) {
      const begunBefore = this.#begun;
      const hadOthers = this.#reading.size > 0;
      try {
        return await this.#readOnce(query, signal);
      } catch (error) {
        if (error instanceof FileClosedError && !error.wasTaken) continue;
        const others = hadOthers || this.#begun > begunBefore + 1;
        if (!(error instanceof ReadTooLargeError) || error.wasTaken || !others || !isFirst) throw error;
        isFirst = false;
        // One after another, or they would take the memory from each other again.
        const turn = this.#turn.then(() => this.#othersEnded(signal));
        this.#turn = turn;
        await turn;
      }
    }
  }

  /** When the reads of now have ended, or after a while: whoever takes an answer may be slow. */
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

  async #readOnce<T>(query: (reader: Reader) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const ended = new AbortController();
    let reader: Reader | undefined;
    const onAbort = (): void => ended.abort(new ReadAbandonedError('Whoever asked for this is gone.'));
    if (signal?.aborted) onAbort();
    signal?.addEventListener('abort', onAbort, { once: true });
    const work = async (): Promise<T> => {
      const { instance } = await this.#open();
      ended.signal.throwIfAborted();
      const connection = await instance.connect();
      ended.signal.addEventListener('abort', () => connection.interrupt(), { once: true });
      try {
        return await query((reader = new Reader(connection, ended.signal)));
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
   * Writes what is committed now to a new file. It is one transaction, so the copy is of one moment, and it reads
   * beside the writer, which does not wait for it.
   * @throws StoreUnavailableError when either file fails
   */
  async copyTo(path: string): Promise<void> {
    const copy = `copy_${randomUUID().replaceAll('-', '')}`;
    await this.read(async (reader) => {
      const [[source]] = (await reader.rows('SELECT current_database()')) as [[string]];
      await reader.rows(`ATTACH '${path.replaceAll("'", "''")}' AS ${copy}`);
      try {
        await reader.rows(`COPY FROM DATABASE "${source}" TO ${copy}`);
        // All of it in the one file, none in a write-ahead log beside it.
        await reader.rows(`CHECKPOINT ${copy}`);
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
        // Gives memory back that it has freed, which it otherwise keeps.
        allocator_background_threads: 'true',
        allocator_flush_threshold: '8MiB',
        max_temp_directory_size: `${Math.floor((diskPerMemory * this.memoryBytes) / 2 ** 20)}MiB`,
      });
      // What a process that was killed has left. The file is ours from here on, so nobody uses it.
      for (const name of readdirSync(dirname(spill)))
        if (join(dirname(spill), name) !== spill) rmSync(join(dirname(spill), name), { recursive: true, force: true });
      const writer = await instance.connect();
      // A file that turns out to be damaged is left as it is.
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

  /** Closes the file, once those who read it have done so; whoever wants it meanwhile waits and opens it anew. */
  #abandon(): Promise<void> {
    const opening = this.#opening;
    this.#opening = null;
    // Those of now: a read that comes later waits for this to end. None may keep the file for as long as its taker likes.
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
   * What DuckDB has open may live on until its last result is collected as garbage. Its checkpoint at the end would then
   * remove the log of whoever has the file open by that time, so it makes none; what is in the log is read at the next
   * opening.
   */
  async #keepFromFiles(writer: DuckDBConnection): Promise<void> {
    // Of files that are gone nothing may be moved to those at their place. Where it fails, the log keeps what it has.
    if (this.#closed && !this.guard?.fault) await writer.run('CHECKPOINT').catch(() => undefined);
    await writer.run('PRAGMA disable_checkpoint_on_shutdown').catch(() => undefined);
  }

  async #drain(): Promise<void> {
    // Lets calls of the same tick share the first commit.
    await Promise.resolve();
    while (this.#jobs.length > 0) {
      if (this.#jobs[0]!.isOutside) await this.#commitOutside(this.#jobs.shift()!);
      else await this.#commit(this.#jobs.splice(0, this.#nextCommit()));
    }
    this.#draining = null;
  }

  async #commitOutside({ work, resolve, reject }: Job): Promise<void> {
    // It has a connection and needs nothing of the writer's.
    await (work as () => Promise<unknown>)().then(resolve, reject);
  }

  /** How many of the jobs that wait make up the next commit. */
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
      // The next commit need not wait for this one to be noted.
      const noted = this.guard?.noted();
      const answer = () => answers.forEach((one) => one());
      if (noted) this.#answering = noted.then(answer);
      else answer();
    } catch (error) {
      // What is open is all that there is of it: it stays open, to be copied.
      if (this.guard?.fault && error === this.guard.fault) {
        for (const job of waiting) job.reject(error);
        return;
      }
      // Closing without a commit rolls back; what is in memory is read again at the next opening.
      await this.#abandon();
      const failure = explain(error, this.path);
      for (const job of waiting) job.reject(failure);
    }
  }
}

/**
 * Ends what a failed commit has left. An appender that still has rows would write them when it is freed, on its own and
 * after the file was opened anew.
 */
async function dropAppended({ writer, tables }: OpenFile): Promise<void> {
  const quietly = (sql: string): Promise<unknown> => writer.run(sql).catch(() => undefined);
  await quietly('ROLLBACK');
  await quietly('BEGIN TRANSACTION');
  for (const rows of tables.values()) rows.drop();
  await quietly('ROLLBACK');
}

/** The file was closed, after a failed write or for good, while it was read. */
export class FileClosedError extends StoreUnavailableError {
  constructor(readonly wasTaken = false) {
    super('The store was closed for a moment. Try again.');
  }
}
