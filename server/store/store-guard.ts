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
  /** Reports a problem that does not stop the store. */
  onProblem: (message: string) => void;
  /** Reports that such a problem is over. */
  onMended: (message: string) => void;
}

const maxBufferBytes = Math.min(constants.MAX_LENGTH, 2 ** 31 - 1);

/** How often the files of an idle store are checked. */
const lookMs = 5_000;

/** File name of the ledger beside a store. */
export const ledgerOf = (path: string): string => `${path}.ledger`;

/**
 * Makes sure that no acknowledged data of a DuckDB file is lost silently: it refuses to create an empty file in place of a
 * missing one, compares an opened file with the ledger, and notices when files are removed under the open store.
 */
export class StoreGuard implements FileGuard {
  #ledger: AcknowledgedLedger | null = null;
  #files: OpenFiles | null = null;
  #fault: StoreUnavailableError | null = null;
  #looking: NodeJS.Timeout | null = null;
  #hasOpened = false;
  /** Whether a copy of the log was tried before the first opening. */
  #hasCopiedLog = false;
  /** Problems reported while opening; each is reported once, however often opening is tried. */
  readonly #told = new Set<string>();
  /** Whether it was reported that the files cannot be checked. */
  #isBlind = false;

  constructor(
    readonly path: string,
    readonly options: StoreGuardOptions,
  ) {}

  /** The counts of acknowledged data; available once the store has been opened. */
  get ledger(): AcknowledgedLedger {
    if (!this.#ledger) throw new StoreUnavailableError(`${this.path} is not open.`);
    return this.#ledger;
  }

  /** Descriptions of acknowledged data that is lost, until an operator accepts the losses. */
  get losses(): string[] {
    return (this.#ledger?.losses ?? []).map(describeLoss);
  }

  /** Why nothing more can be stored until the process ends, or null. */
  get fault(): StoreUnavailableError | null {
    return this.#fault;
  }

  /**
   * Checks the files before DuckDB opens them: DuckDB treats a missing log as an empty one, and creates a missing file.
   * @throws StoreUnavailableError where that would lose data
   */
  async beforeOpening(): Promise<void> {
    const log = `${this.path}.wal`;
    const [mainBytes, logBytes] = [await sizeOf(this.path), await sizeOf(log)];
    if (!mainBytes) await this.#demandNothingHeld(mainBytes === null, logBytes);
    // A log too large for a buffer is left to DuckDB.
    if (logBytes && logBytes < maxBufferBytes && wouldBeDropped(await readFile(log)))
      throw new StoreUnavailableError(
        `${log} is damaged, and DuckDB would drop what it holds. Nothing is stored until it is repaired, and trainers ` +
          `wait. Stop the hub and repair it; nothing is deleted: ${repairCommand(this.path)}`,
      );
    if (logBytes && !this.#hasCopiedLog) await this.#copyLog(log);
    // Later logs are written by this process.
    this.#hasCopiedLog = true;
  }

  /**
   * Refuses a missing or empty main file, where DuckDB would begin a new store.
   * @throws StoreUnavailableError where there was a store, naming its content by run and number
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

  /** Copies the log until the store is open: DuckDB truncates a log that it cannot read to its end. */
  async #copyLog(log: string): Promise<void> {
    try {
      await copyFile(log, this.#logCopy);
    } catch (error) {
      await rm(this.#logCopy, { recursive: true, force: true });
      this.#tellingOnce.onProblem(
        `${log} could not be copied before it is read (${messageOf(error)}). If it is damaged, it cannot be read a second time.`,
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

  /** Reports losses once the file is open. Resolves when the ledger matches the store. */
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
    // Older losses are reported at each start, but not whenever a full disk makes the store open its file again.
    const isFirst = !this.#hasOpened;
    this.#hasOpened = true;
    if (ledger.losses.length > 0 && (found.length > 0 || isFirst))
      this.options.onProblem(
        `${this.path} has lost what was acknowledged. ${ledger.losses.map(describeLoss).join(' ')}${kept} ` +
          'If there is an intact copy of the files, stop the hub and put it back. ' +
          `Otherwise stop the hub and accept the loss, so that it is no longer reported: ${repairCommand(this.path)} --accept-loss`,
      );
    this.#files = new OpenFiles(this.path);
    this.#looking ??= setInterval(() => this.#look(), lookMs).unref();
  }

  /** See AcknowledgedLedger.flush. */
  noted(): Promise<void> {
    return this.ledger.flush();
  }

  /** Checks the files around a commit: data in removed files must not be acknowledged. @throws StoreUnavailableError */
  demandFiles(): void {
    this.#look();
    if (this.#fault) throw this.#fault;
  }

  /** Stops checking while the files are closed. */
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

  /** Removes copies of the log, also those of killed processes: the store is open here, so nobody else is opening it. */
  async #removeLogCopies(): Promise<void> {
    const folder = dirname(this.path);
    const prefix = `${basename(this.path)}.wal.opening-`;
    for (const name of await readdir(folder))
      if (name.startsWith(prefix)) await rm(join(folder, name), { force: true });
  }

  /** What happened to the files; null also where that is unknown: only certainty stops a hub. */
  #fileFault(): string | null {
    try {
      return this.#files?.fault() ?? null;
    } catch (error) {
      if (!this.#isBlind)
        this.options.onProblem(`The files of ${this.path} cannot be checked (${messageOf(error)}); storing goes on.`);
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

/** Most runs that one message names. */
const maxNamed = 20;

/** The end of a sentence that names a store's content by its ledger; empty where there is none. */
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

/** Size of a file in bytes, or null where it does not exist. */
async function sizeOf(path: string): Promise<number | null> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

/** The current time for a file name: sortable, and without characters that a shell interprets. */
export const timeInName = (nowMs = Date.now()): string => new Date(nowMs).toISOString().replace(/[:.]/g, '-');

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));
