import { randomUUID } from 'node:crypto';
import { mkdirSync, readdirSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  BIGINT,
  DOUBLE,
  VARCHAR,
  DuckDBInstance,
  type DuckDBConnection,
  type DuckDBDataChunk,
  type DuckDBMaterializedResult,
  type DuckDBResult,
  type DuckDBType,
  type DuckDBValue,
} from '@duckdb/node-api';
import { diskRemedy } from './disk-remedies.js';
import {
  ReadAbandonedError,
  ReadTooLargeError,
  SequenceGapError,
  StoreConflictError,
  StoreInUseError,
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

/**
 * Values as they are bound, with their types: DuckDB's client takes a whole number for one of 32 bits unless told
 * otherwise, and cuts off what is more without a word.
 */
export function bound(values: readonly (string | number)[]): [DuckDBValue[], DuckDBType[]] {
  const isWhole = (value: string | number): value is number => Number.isSafeInteger(value);
  return [
    values.map((value) => (isWhole(value) ? BigInt(value) : value)),
    values.map((value) => (typeof value === 'string' ? VARCHAR : isWhole(value) ? BIGINT : DOUBLE)),
  ];
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
  openingFailed(): Promise<void>;
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
    return new Promise<T>((resolve, reject) => {
      this.#jobs.push({ work, isAlone, resolve: (value) => resolve(value as T), reject });
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
      await this.guard?.openingFailed();
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
    while (this.#jobs.length > 0) await this.#commit(this.#jobs.splice(0, this.#nextCommit()));
    this.#draining = null;
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
class FileClosedError extends StoreUnavailableError {
  constructor(readonly wasTaken = false) {
    super('The store was closed for a moment. Try again.');
  }
}

/** Whether more is wanted; nothing said is yes. */
type Taken = boolean | void;

/** Reads through one connection, until it is ended. */
export class Reader {
  /** DuckDB could not answer; any other error is of who reads. */
  fileFailed = false;
  /** Part of an answer was handed over. */
  wasTaken = false;

  constructor(
    readonly connection: DuckDBConnection,
    readonly signal = new AbortController().signal,
  ) {}

  /** All rows of a small answer. */
  async rows(sql: string, values: readonly (string | number)[] = []): Promise<DuckDBValue[][]> {
    return (await this.#ask(this.connection.runAndReadAll(sql, ...bound(values)))).getRows();
  }

  /**
   * An answer of any size, about 2,000 rows at a time; the next ones are read when `take` resolves, and none when it
   * says `false`.
   * @throws the signal's reason at once when the read is ended, also while `take` is under way
   */
  async chunks(
    sql: string,
    values: readonly (string | number)[],
    take: (chunk: DuckDBDataChunk) => Taken | Promise<Taken>,
  ): Promise<void> {
    const result = await this.#ask(this.connection.stream(sql, ...bound(values)));
    let isAtEnd = false;
    try {
      for (;;) {
        this.signal.throwIfAborted();
        const chunk = await this.#ask(result.fetchChunk());
        isAtEnd = !chunk || chunk.rowCount === 0;
        if (!chunk || isAtEnd) return;
        if ((await this.hand(() => take(chunk))) === false) return;
      }
    } finally {
      if (!isAtEnd) await this.#drop(result);
    }
  }

  /**
   * Hands part of an answer over, and waits until it is taken.
   * @throws the signal's reason at once when the read is ended
   */
  async hand<T>(take: () => T | Promise<T>): Promise<T> {
    this.signal.throwIfAborted();
    this.wasTaken = true;
    let end: () => void = () => undefined;
    const ended = new Promise<never>((_resolve, reject) => {
      end = () => reject(this.signal.reason as Error);
      this.signal.addEventListener('abort', end, { once: true });
    });
    try {
      return await Promise.race([take(), ended]);
    } finally {
      this.signal.removeEventListener('abort', end);
    }
  }

  /**
   * Lets go of an answer that is not read to its end: until it is collected as garbage it would keep every checkpoint, and
   * so the closing of the file, waiting. The next query of a connection ends the one before.
   */
  async #drop(result: DuckDBResult): Promise<void> {
    this.connection.interrupt();
    const next = (): Promise<DuckDBDataChunk | null> => result.fetchChunk().catch(() => null);
    for (let chunk = await next(); chunk && chunk.rowCount > 0;) chunk = await next();
    // It may be interrupted itself, and has done its work then.
    await this.connection.run('SELECT 1').catch(() => undefined);
  }

  async #ask<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      this.fileFailed = true;
      throw error;
    }
  }
}
/** The command that saves what can be saved of the store in this file. */
export const repairCommand = (path: string): string =>
  `npm run plumbline -- repair --data-dir ${dirname(resolve(path))}`;

/** Says what is wrong with the file and what a person can do about it. */
export function explain(error: unknown, path: string): StoreUnavailableError {
  if (error instanceof StoreUnavailableError) return error;
  const cause = error instanceof Error ? error.message : String(error);
  if (/lock on file|Conflicting lock/i.test(cause))
    return new StoreInUseError(`Another hub has ${path} open. Stop it, or choose another --data-dir.`, {
      cause: error,
    });
  const advice = diskRemedy(cause, path) ?? remedies.find(([pattern]) => pattern.test(cause))?.[1](path);
  return new StoreUnavailableError(advice ? `${advice} (${cause})` : `The store ${path} failed: ${cause}`, {
    cause: error,
  });
}

const isOutOfMemory = (error: unknown): boolean => error instanceof Error && /Out of Memory/i.test(error.message);

const remedies: [RegExp, (path: string) => string][] = [
  [
    /Out of Memory/i,
    (path) => `There is no memory to write ${path}. Give the hub more (PLUMBLINE_MEMORY_MB): it goes on by itself.`,
  ],
  [
    /EISDIR|Is a directory/i,
    (path) =>
      `${path} or its .wal is a folder, not a file. Move the folder away and put the file back, or restore a backup.`,
  ],
  [
    /version number|newer version|created with an older|storage version/i,
    (path) =>
      `${path} was written by another version of the store. Start the version of Plumbline that wrote it, or restore a backup.`,
  ],
  [
    /not a valid DuckDB|corrupt|checksum|deseriali|replaying WAL|Serialization|not read enough bytes/i,
    (path) =>
      `${path} is damaged. Leave its files where they are, stop the hub and let it save what is whole; nothing is ` +
      `deleted: ${repairCommand(path)}`,
  ],
];
