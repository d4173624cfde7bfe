import { constants } from 'node:buffer';
import { copyFile, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { AcknowledgedLedger, type Held } from './acknowledged-ledger.js';
import { repairCommand } from './duckdb-failure.js';
import type { FileGuard } from './duckdb-file.js';
import { StoreUnavailableError } from './event-store.js';
import { wouldBeDropped } from './duckdb-format.js';
import { describeLoss } from './loss.js';
import { OpenFiles } from './open-files.js';

export interface StoreGuardOptions {
  /** Told of what a person has to know although the store goes on. */
  onProblem: (message: string) => void;
  /** Told when such a thing is over. */
  onMended: (message: string) => void;
}

const maxBufferBytes = Math.min(constants.MAX_LENGTH, 2 ** 31 - 1);

/** How often the files of a store that nobody writes to are looked at. */
const lookMs = 5_000;

/** The file beside a store that counts what was acknowledged. */
export const ledgerOf = (path: string): string => `${path}.ledger`;

/**
 * Sees to it that nothing acknowledged of a DuckDB file is lost without a word: it refuses to begin an empty file where
 * one is missing, compares what is opened with the ledger, and notices files that are taken away from under the store.
 */
export class StoreGuard implements FileGuard {
  #ledger: AcknowledgedLedger | null = null;
  #files: OpenFiles | null = null;
  #fault: StoreUnavailableError | null = null;
  #looking: NodeJS.Timeout | null = null;
  #hasOpened = false;
  /** The log was copied for the first opening, or could not be. */
  #hasCopiedLog = false;
  /** Problems of opening that were told; each is told once, however often the opening is tried. */
  readonly #told = new Set<string>();
  /** It was told that the files cannot be looked at. */
  #isBlind = false;

  constructor(
    readonly path: string,
    readonly options: StoreGuardOptions,
  ) {}

  /** What was acknowledged; there once the store has been opened. */
  get ledger(): AcknowledgedLedger {
    if (!this.#ledger) throw new StoreUnavailableError(`${this.path} is not open.`);
    return this.#ledger;
  }

  /** Sentences on what is gone of what was acknowledged, until somebody has taken note of it. */
  get losses(): string[] {
    return (this.#ledger?.losses ?? []).map(describeLoss);
  }

  /** Why nothing more can be stored until the process ends, or null. */
  get fault(): StoreUnavailableError | null {
    return this.#fault;
  }

  /**
   * Before DuckDB opens the file: it would take no log for an empty one, and an empty file for one that is missing.
   * @throws StoreUnavailableError where that would lose something
   */
  async beforeOpening(): Promise<void> {
    const log = `${this.path}.wal`;
    const [mainBytes, logBytes] = [await sizeOf(this.path), await sizeOf(log)];
    if (!mainBytes) await this.#demandNothingHeld(mainBytes === null, logBytes);
    // A log that no buffer can hold is left to DuckDB.
    if (logBytes && logBytes < maxBufferBytes && wouldBeDropped(await readFile(log)))
      throw new StoreUnavailableError(
        `${log} is damaged, and DuckDB would drop what it holds. Nothing is stored until it is repaired, and trainers ` +
          `wait. Stop the hub and repair it; nothing is deleted: ${repairCommand(this.path)}`,
      );
    if (logBytes && !this.#hasCopiedLog) await this.#copyLog(log);
    // A log that comes later is of this process.
    this.#hasCopiedLog = true;
  }

  /**
   * DuckDB would begin a new store where the main file is missing or empty.
   * @throws StoreUnavailableError where there was one, with what it held by run and number
   */
  async #demandNothingHeld(isMissing: boolean, logBytes: number | null): Promise<void> {
    const ledger = await AcknowledgedLedger.open(ledgerOf(this.path), this.#tellingOnce);
    const held = heldOf(ledger);
    if (!logBytes && held === '') return;
    throw new StoreUnavailableError(
      `${this.path} ${isMissing ? 'is missing' : 'is damaged: it is empty'}${held}. ` +
        'See whether its disk is mounted and put the file back, with its .wal file if it has one, or restore a ' +
        `backup. Where there is none: ${repairCommand(this.path)} moves what is left aside, and the hub starts empty.`,
    );
  }

  /** DuckDB cuts off a log that it cannot read to its end, so it is kept as it was found until the store is open. */
  async #copyLog(log: string): Promise<void> {
    try {
      await copyFile(log, this.#logCopy);
    } catch (error) {
      await rm(this.#logCopy, { recursive: true, force: true });
      this.#tellingOnce.onProblem(
        `${log} could not be copied before it is read (${messageOf(error)}): should it be damaged, there is no second try.`,
      );
    }
  }

  get #tellingOnce(): StoreGuardOptions {
    const onProblem = (message: string): void => {
      if (!this.#told.has(message)) this.options.onProblem(message);
      this.#told.add(message);
    };
    return { ...this.options, onProblem };
  }

  /** Once the file is open: tells what is gone. @returns when the ledger counts on from what is there */
  async afterOpening(held: Held): Promise<void> {
    if (!this.#ledger) this.#ledger = await AcknowledgedLedger.open(ledgerOf(this.path), this.#tellingOnce);
    const ledger = this.#ledger;
    const found = await ledger.reconcile(held);
    let kept = '';
    if (found.length > 0 && (await sizeOf(this.#logCopy)) !== null) {
      const path = `${this.path}.wal.found-${timeInName()}`;
      await rename(this.#logCopy, path);
      kept = ` The write-ahead log is kept as it was found: ${path}.`;
    }
    await this.#removeLogCopies();
    // Those of before are told at each start, not each time that a full disk made the store open its file again.
    const isFirst = !this.#hasOpened;
    this.#hasOpened = true;
    if (ledger.losses.length > 0 && (found.length > 0 || isFirst))
      this.options.onProblem(
        `${this.path} has lost what was acknowledged. ${ledger.losses.map(describeLoss).join(' ')}${kept} ` +
          'If there is an intact copy of the files, stop the hub and put it back. ' +
          `Otherwise take note of it with the hub stopped, and it is told no more: ${repairCommand(this.path)} --accept-loss`,
      );
    this.#files = new OpenFiles(this.path);
    this.#looking ??= setInterval(() => this.#look(), lookMs).unref();
  }

  /** See AcknowledgedLedger.flush. */
  noted(): Promise<void> {
    return this.ledger.flush();
  }

  /** Around a commit: nothing may be acknowledged that lies in files that are gone. @throws StoreUnavailableError */
  demandFiles(): void {
    this.#look();
    if (this.#fault) throw this.#fault;
  }

  /** The files are being closed; `demandFiles` has nothing to look at until they are opened again. */
  closeFiles(): void {
    if (this.#looking) clearInterval(this.#looking);
    this.#looking = null;
    if (!this.#fault) this.#files = null;
  }

  async close(): Promise<void> {
    this.closeFiles();
    await rm(this.#logCopy, { recursive: true, force: true });
    await this.#ledger?.close();
  }

  get #logCopy(): string {
    return `${this.path}.wal.opening-${process.pid}`;
  }

  /** Those of processes that were killed while they opened the store, too: the store is open here, so none is opening it. */
  async #removeLogCopies(): Promise<void> {
    const folder = dirname(this.path);
    const prefix = `${basename(this.path)}.wal.opening-`;
    for (const name of await readdir(folder))
      if (name.startsWith(prefix)) await rm(join(folder, name), { force: true });
  }

  /** What has happened to the files; null also where that cannot be told: only what is known stops a hub. */
  #fileFault(): string | null {
    try {
      return this.#files?.fault() ?? null;
    } catch (error) {
      if (!this.#isBlind)
        this.options.onProblem(`The files of ${this.path} cannot be looked at (${messageOf(error)}); storing goes on.`);
      this.#isBlind = true;
      return null;
    }
  }

  #look(): void {
    if (this.#fault) return;
    const fault = this.#fileFault();
    if (fault === null) return;
    this.#fault = new StoreUnavailableError(
      `${fault} while the hub has it open, so nothing more is stored; what was stored is still in the open file, for as ` +
        'long as the hub runs. Save it now: npm run plumbline -- backup NEW_FOLDER ' +
        `--data-dir ${dirname(resolve(this.path))}. Then stop the hub and restore NEW_FOLDER to a new data folder.`,
    );
    this.options.onProblem(this.#fault.message);
  }
}

/** At most this many runs are named in one message. */
const maxNamed = 20;

/** What a store held by its ledger, to go on a sentence with; empty where that is nothing. */
function heldOf({ counts }: AcknowledgedLedger): string {
  if (counts.size === 0) return '';
  const gone = [...counts].slice(0, maxNamed).map(([runId, { lastSeq, commands }]) =>
    describeLoss({
      ...{ runId, isGone: true, isBack: false, commands, lastStep: null, foundMs: 0 },
      events: lastSeq > 0 ? { from: 1, to: lastSeq } : null,
    }),
  );
  const more = counts.size > maxNamed ? ` And ${counts.size - maxNamed} more runs.` : '';
  const all = `${gone.join(' ')}${more}`;
  return `, with the ${counts.size === 1 ? 'run' : `${counts.size} runs`} that it held: ${all.slice(0, -1)}`;
}

/** Bytes of a file, or null where there is none. */
async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** The time now, for a file's name: it sorts, and needs no quotes in a shell. */
export const timeInName = (nowMs = Date.now()): string => new Date(nowMs).toISOString().replace(/[:.]/g, '-');

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
