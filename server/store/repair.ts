import { copyFile, mkdir, open, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { RunDescription } from '@plumbline/shared/run-description';
import type { RunId } from '@plumbline/shared/run';
import type { TrainerEvent } from '@plumbline/shared/trainer-event';
import { AcknowledgedLedger } from './acknowledged-ledger.js';
import { headersBytes, logBefore, mendDatabase, mendLog, wouldBeDropped, type Mended } from './duckdb-format.js';
import { explain, withoutStack } from './duckdb-failure.js';
import { schema } from './embedded-schema.js';
import { EmbeddedStore } from './embedded-store.js';
import { StoreInUseError, type StoredRun } from './event-store.js';
import { describeLoss } from './loss.js';
import { allPoints } from './point-order.js';
import { ledgerOf, timeInName } from './store-guard.js';

export interface RepairOptions {
  /** Begins an empty store if nothing can be saved. */
  startEmpty: boolean;
}

export interface RepairReport {
  /** Findings and actions, a sentence each. */
  done: string[];
  /** Folder with the original files; null if they were not moved. */
  aside: string | null;
  /** Acknowledged data that is lost, a sentence each. */
  losses: string[];
}

const tables = ['runs', 'events', 'large_events', 'series', 'points', 'sorted_points', 'commands', 'deleted_runs'];
/** Rows in a row group of DuckDB, and the smallest range of rows that is given up for an unreadable one. */
const rowGroup = 122_880;
const fewestRows = rowGroup / 64;
/** Blocks of a database that are read at a time. */
const chunkBytes = 64 * 262_144;

/** Most runs named when all are lost. */
const mostNamed = 20;
/** Silent: the findings are in the report. */
const quiet = { onProblem: () => undefined, onMended: () => undefined };

/** Nothing of the store can be saved; nothing was changed. */
export class BeyondRepairError extends Error {
  override name = 'BeyondRepairError';
}

/**
 * Repairs a damaged store. It works on a copy, writes everything readable to a new file and puts that in the place of the
 * damaged files, which are moved aside and never deleted.
 * @param path the store's file; repairing needs free space of twice its size
 * @throws StoreInUseError while a hub has it open; BeyondRepairError; Error when the disk fails
 */
export async function repairStore(path: string, { startEmpty }: RepairOptions): Promise<RepairReport> {
  if (await isWhole(path)) {
    const losses = await lossesOf(path);
    return {
      done: [losses.length === 0 ? 'The store is intact.' : 'All files can be read.'],
      aside: null,
      losses,
    };
  }
  const time = timeInName();
  const work = `${path}.repair-${time}`;
  await mkdir(work, { recursive: true, mode: 0o700 });
  try {
    const saved = join(work, 'saved.duckdb');
    const repair = new Repair(join(work, 'copy.duckdb'), saved);
    const isSaved = (await repair.from(path, true)) || (await repair.from(path, false));
    if (!isSaved) {
      if (!startEmpty)
        throw new BeyondRepairError(
          `Nothing can be saved of ${path}. ${repair.done.join(' ')} Everything is as it was. Restore a backup ` +
            '(npm run plumbline -- restore-backup), or run this again with --start-empty: it moves the files aside.' +
            (await whatWouldBeLost(path)),
        );
      await makeEmpty(saved);
      repair.done.push('The store is empty now.');
    }
    const aside = join(dirname(path), `damaged-${time}`);
    await mkdir(aside, { mode: 0o700 });
    for (const file of [`${path}.wal`, path]) await moveInto(aside, file);
    await rename(saved, path);
    const losses = [...repair.losses, ...(await lossesOf(path))];
    await writeFile(join(aside, 'report.txt'), [...repair.done, ...losses, ''].join('\n'));
    return { done: repair.done, aside, losses };
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** The content of a lost store by its ledger, shortened for people. */
async function whatWouldBeLost(path: string): Promise<string> {
  const ledger = await AcknowledgedLedger.open(ledgerOf(path), quiet);
  const missing = ledger.missingFrom({ runs: new Map(), deleted: new Set() }).map(describeLoss);
  if (missing.length === 0) return '';
  const others = missing.length - mostNamed;
  return ` Without a backup: ${missing.slice(0, mostNamed).join(' ')}${others > 0 ? ` And ${others} more.` : ''}`;
}

/** Opens the store as a hub would. @returns the losses that the ledger knows of */
async function lossesOf(path: string): Promise<string[]> {
  const store = new EmbeddedStore(path, quiet);
  try {
    return (await store.condition()).losses;
  } finally {
    await store.close();
  }
}

/** Whether a store is readable throughout. Changes nothing. @throws StoreInUseError while a hub has it open */
async function isWhole(path: string): Promise<boolean> {
  if (!(await bytesOf(path))) return false;
  const log = `${path}.wal`;
  if ((await bytesOf(log)) !== null && wouldBeDropped(await readFile(log))) return false;
  try {
    await within(path, true, async (connection) => {
      // Counting each column reads each block.
      for (const table of tables)
        if (await hasTable(connection, table))
          await connection.run(`SELECT count(COLUMNS(*)), max(COLUMNS(*)) FROM ${table}`);
    });
    return true;
  } catch (error) {
    if (explain(error, path) instanceof StoreInUseError) throw explain(error, path);
    return false;
  }
}

/** Files of older versions have fewer tables. */
async function hasTable(
  connection: DuckDBConnection,
  table: string,
  database = 'current_database()',
): Promise<boolean> {
  const found = await connection.runAndReadAll(
    `SELECT 1 FROM duckdb_tables() WHERE database_name = ${database} AND table_name = '${table}'`,
  );
  return found.currentRowCount > 0;
}

async function within<T>(path: string, readOnly: boolean, work: (connection: DuckDBConnection) => Promise<T>) {
  const instance = await DuckDBInstance.create(path, readOnly ? { access_mode: 'READ_ONLY' } : {});
  try {
    const connection = await instance.connect();
    try {
      return await work(connection);
    } finally {
      connection.closeSync();
    }
  } finally {
    instance.closeSync();
  }
}

const makeEmpty = (path: string): Promise<unknown> =>
  within(path, false, async (connection) => {
    await connection.run(schema);
    await connection.run('CHECKPOINT');
  });

/** An event whose text has lost a part. */
type Torn = [runId: RunId, seq: number, step: number, wallTimeMs: number, type: TrainerEvent['type']];

/** The empty content of a large event whose own is lost. */
const withoutContent: Partial<Record<TrainerEvent['type'], object>> = {
  token_shift: { prompts: 'lost', tokens: [] },
  examples: { task: 'lost', examples: [] },
};

/** One repair: tries the ways to read the copy, least lossy first. */
class Repair {
  readonly done: string[] = [];
  readonly losses: string[] = [];

  constructor(
    readonly copy: string,
    readonly saved: string,
  ) {}

  /**
   * @param mends whether altered bytes are restored first
   * @returns whether anything was saved
   */
  async from(path: string, mends: boolean): Promise<boolean> {
    const log = `${this.copy}.wal`;
    this.done.length = this.losses.length = 0;
    for (const file of [this.copy, log, this.saved, `${this.saved}.wal`])
      await rm(file, { recursive: true, force: true });
    const hasMain = await copyIfThere(path, this.copy);
    const hasLog = await copyIfThere(`${path}.wal`, log);
    if (!hasMain) {
      this.done.push(`${path} is ${(await bytesOf(path)) === null ? 'missing' : 'empty or no file'}.`);
      if (!hasLog) return false;
      // A log that begins with creating the tables needs no main file.
      await rm(log);
      await within(this.copy, false, (connection) => connection.run('CHECKPOINT'));
      await copyFile(`${path}.wal`, log);
    }
    if (hasMain && mends) await this.#mend(this.copy, mendInPlace);
    if (hasLog && mends) await this.#mend(log, mendLogInPlace);
    if (hasMain) await this.#renewFirstHeader();
    if (!(await this.#openLog(log))) return false;
    if (!hasMain && (await bytesOf(log)) === null) return false;
    const error = await this.#save();
    if (error === null) return true;
    this.done.push(`The rest cannot be read (${error}).`);
    return false;
  }

  async #mend(file: string, mend: (file: string) => Promise<Mended>): Promise<void> {
    const { mended } = await mend(file);
    if (mended.length > 0)
      this.done.push(
        `${named(file)}: ${mended.length === 1 ? 'one altered byte was' : `${mended.length} altered bytes were`} found ` +
          `by the checksums and put right (at ${mended.slice(0, 5).join(', ')}${mended.length > 5 ? ', …' : ''}).`,
      );
  }

  /** Restores the first header, which holds the format and is the same in every file of this version. */
  async #renewFirstHeader(): Promise<void> {
    const file = await open(this.copy, 'r+');
    try {
      const header = Buffer.alloc(4096);
      const { bytesRead } = await file.read(header, 0, header.length, 0);
      if (bytesRead < header.length || mendDatabase(header).damaged.length === 0) return;
      const fresh = `${this.saved}.fresh`;
      await rm(fresh, { force: true });
      await makeEmpty(fresh);
      await file.write((await readFile(fresh)).subarray(0, header.length), 0, header.length, 0);
      this.done.push(`${named(this.copy)}: its first header is damaged; one of a new file is in its place.`);
    } finally {
      await file.close();
    }
  }

  /** Cuts the log to the part that DuckDB accepts. @returns whether the database can be opened */
  async #openLog(log: string): Promise<boolean> {
    for (;;) {
      const error = await failure(() => within(this.copy, true, () => Promise.resolve()));
      if (error === null) return true;
      const bytes = await bytesOf(log);
      if (bytes === null) {
        this.done.push(`${named(this.copy)} cannot be opened (${error}).`);
        return false;
      }
      const position = /WAL file: entry at byte position (\d+)/.exec(error);
      const end = position ? logBefore(Number(position[1])) : 0;
      if (end > 0 && end < bytes) {
        await truncate(log, end);
        this.done.push(
          `The write-ahead log is damaged at byte ${end} of ${bytes}: the part before is kept, the rest is lost.`,
        );
      } else {
        await rm(log, { recursive: true });
        this.done.push(`The write-ahead log cannot be read (${error}): only the main file is used.`);
      }
    }
  }

  /** Copies everything readable into the new file. @returns why nothing is readable, or null */
  async #save(): Promise<string | null> {
    return failure(() =>
      within(this.saved, false, async (connection) => {
        await connection.run(schema);
        await connection.run(`ATTACH '${this.copy.replaceAll("'", "''")}' AS damaged (READ_ONLY)`);
        for (const table of tables) await this.#saveTable(connection, table);
        await this.#renewRecords(connection);
        await this.#emptyLargeEvents(connection);
        await this.#tellHoles(connection);
        await connection.run('DETACH damaged');
        await connection.run('CHECKPOINT');
      }),
    );
  }

  async #saveTable(connection: DuckDBConnection, table: string): Promise<void> {
    if (!(await hasTable(connection, table, `'damaged'`))) return;
    const insert = `INSERT INTO ${table} SELECT * FROM damaged.${table}`;
    if ((await failure(() => connection.run(insert))) === null) return;
    const [[last]] = (await connection.runAndReadAll(`SELECT max(rowid)::DOUBLE FROM damaged.${table}`)).getRows() as [
      [number | null],
    ];
    let lost = 0;
    const take = async (from: number, rows: number): Promise<void> => {
      const range = `${insert} WHERE rowid BETWEEN ${from} AND ${from + rows - 1}`;
      if ((await failure(() => connection.run(range))) === null) return;
      if (rows <= fewestRows) lost += Math.min(rows, (last ?? -1) - from + 1);
      else for (let part = from; part < from + rows; part += rows / 2) await take(part, rows / 2);
    };
    for (let from = 0; from <= (last ?? -1); from += rowGroup) await take(from, rowGroup);
    this.losses.push(`Table ${table}: ${lost} of ${(last ?? -1) + 1} rows cannot be read.`);
  }

  /** Reports runs with missing events or values. */
  async #tellHoles(connection: DuckDBConnection): Promise<void> {
    const holes = await connection.runAndReadAll(
      `SELECT run_id, (before + 1)::DOUBLE, (seq - 1)::DOUBLE
       FROM (SELECT run_id, seq, lag(seq, 1, 0) OVER (PARTITION BY run_id ORDER BY seq) AS before FROM events)
       WHERE seq > before + 1 ORDER BY ALL`,
    );
    for (const [runId, from, to] of holes.getRows() as [string, number, number][])
      this.losses.push(`Run ${runId}: events ${from} to ${to} are gone from its middle.`);
    const empty = await connection.runAndReadAll(
      `SELECT run_id, count(*)::DOUBLE, min(seq)::DOUBLE, max(seq)::DOUBLE FROM events
       WHERE type = 'step_completed' AND NOT EXISTS (
         SELECT 1 FROM ${allPoints} JOIN series USING (series_id) WHERE series.run_id = events.run_id AND all_points.seq = events.seq)
       GROUP BY run_id ORDER BY ALL`,
    );
    for (const [runId, count, from, to] of empty.getRows() as [string, number, number, number][])
      this.losses.push(`Run ${runId}: ${count} steps between events ${from} and ${to} have no values any more.`);
  }

  /**
   * Handles events that have lost a part of their text: a large event becomes empty, any other is removed, and so are texts
   * without their event. Otherwise they would stop readers.
   */
  async #emptyLargeEvents(connection: DuckDBConnection): Promise<void> {
    await connection.run('DELETE FROM large_events WHERE (run_id, seq) NOT IN (SELECT (run_id, seq) FROM events)');
    const torn = await connection.runAndReadAll(
      `SELECT run_id, seq::DOUBLE, step::DOUBLE, wall_time_ms, type FROM events LEFT JOIN (
         SELECT run_id, seq, sum(strlen(text)) AS held, max(bytes) AS bytes FROM large_events GROUP BY ALL
       ) texts USING (run_id, seq)
       WHERE payload IS NULL AND type NOT IN ('step_completed', 'probe_completed') AND (held IS NULL OR held <> bytes)
       ORDER BY ALL`,
    );
    for (const [runId, seq, step, wallTimeMs, type] of torn.getRows() as Torn[]) {
      const nothing = withoutContent[type];
      if (!nothing) {
        for (const table of ['large_events', 'events'])
          await connection.run(`DELETE FROM ${table} WHERE run_id = $1 AND seq = $2`, [runId, seq]);
        continue;
      }
      const text = JSON.stringify({ type, seq, step, wallTimeMs, ...nothing });
      await connection.run('DELETE FROM large_events WHERE run_id = $1 AND seq = $2', [runId, seq]);
      await connection.run(`INSERT INTO large_events VALUES ($1, $2, $3, $4, $5, 0, $6)`, [
        ...[runId, seq, step, type, text.length, text],
      ]);
      this.losses.push(`Run ${runId}: the content of event ${seq} (${type}) is gone; it is empty now.`);
    }
  }

  /** Adds a record to runs without one, which would be shown nowhere; it says that the original is lost. */
  async #renewRecords(connection: DuckDBConnection): Promise<void> {
    const found = await connection.runAndReadAll(
      `SELECT run_id, min(wall_time_ms), max(wall_time_ms) FROM events
       WHERE run_id NOT IN (SELECT run_id FROM runs) GROUP BY run_id ORDER BY ALL`,
    );
    for (const [runId, createdMs, endedMs] of found.getRows() as [RunId, number, number][]) {
      const record: StoredRun = {
        ...{ runId, description: RunDescription.parse({ name: runId }), parent: null, trainer: null },
        ...{ state: 'failed', reason: 'The record of this run was lost: its settings are unknown.' },
        ...{ createdMs, startedMs: createdMs, endedMs },
      };
      await connection.run('INSERT INTO runs VALUES ($1, $2, $3)', [runId, createdMs, JSON.stringify(record)]);
      this.losses.push(`Run ${runId}: its record is gone, with its settings; it is listed as failed.`);
    }
  }
}

async function mendInPlace(path: string): Promise<Mended> {
  const all: Mended = { mended: [], damaged: [] };
  const file = await open(path, 'r+');
  try {
    const buffer = Buffer.alloc(chunkBytes);
    for (let at = 0; ;) {
      // Headers first, so that the rest is aligned to blocks.
      const { bytesRead } = await file.read(buffer, 0, at === 0 ? headersBytes : chunkBytes, at);
      if (bytesRead === 0) return all;
      const part = buffer.subarray(0, bytesRead);
      const found = mendDatabase(part, at);
      if (found.mended.length > 0) await file.write(part, 0, bytesRead, at);
      all.mended.push(...found.mended);
      all.damaged.push(...found.damaged);
      at += bytesRead;
    }
  } finally {
    await file.close();
  }
}

async function mendLogInPlace(path: string): Promise<Mended> {
  const content = await readFile(path);
  const found = mendLog(content);
  if (found.mended.length > 0) await writeFile(path, content);
  return found;
}

/** The name of a file of the copy in messages. */
const named = (file: string): string => (file.endsWith('.wal') ? 'The write-ahead log' : 'The main file');

/** @returns false for a missing or empty file */
async function copyIfThere(from: string, to: string): Promise<boolean> {
  const found = await stat(from).catch(gone);
  if (!found?.isFile() || found.size === 0) return false;
  await copyFile(from, to);
  return true;
}

async function bytesOf(path: string): Promise<number | null> {
  return (await stat(path).catch(gone))?.size ?? null;
}

async function moveInto(folder: string, path: string): Promise<void> {
  await rename(path, join(folder, basename(path))).catch(gone);
}

function gone(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}

/** The error of an attempt, or null. */
async function failure(attempt: () => Promise<unknown>): Promise<string | null> {
  try {
    await attempt();
    return null;
  } catch (error) {
    return withoutStack(error);
  }
}
