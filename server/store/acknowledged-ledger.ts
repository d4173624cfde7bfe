import { createHash } from 'node:crypto';
import { open, readFile, type FileHandle } from 'node:fs/promises';
import { writeDurably } from './durable-file.js';
import { StoreUnavailableError } from './event-store.js';
import type { Loss } from './loss.js';

/*
 * Counts what the hub has acknowledged, in a file beside the store, so that a loss can be reported by run and event number.
 *
 * Invariant: acknowledged <= ledger <= committed. A commit is on disk before the ledger counts it, and the ledger is on
 * disk before the hub answers. A hub that is killed at any moment leaves no count above what its store holds. A store
 * that holds less than the ledger counts has lost acknowledged data.
 *
 * The file is text, one record a line: 16 hexadecimal digits of the SHA-256 of the rest, a space, JSON. Records hold
 * absolute values, so a damaged line costs only its own record. The file is compacted when it has grown to several times
 * the size of its content.
 */

/** The counts of one run. */
export interface RunCount {
  lastSeq: number;
  /** Number of command records. */
  commands: number;
}

/** The contents of a store when it is opened. */
export interface Held {
  runs: Map<string, RunCount & { lastStep: number }>;
  deleted: Set<string>;
}

type Entry =
  | { run: string; lastSeq: number; commands: number }
  | { deleted: string }
  | { loss: Loss }
  /** A person has accepted all earlier losses. */
  | { accepted: number };

export interface LedgerOptions {
  /** File size in bytes above which it is compacted, if most of it is outdated. */
  compactBytes?: number;
  /** Reports a problem that an operator has to know about. */
  onProblem: (message: string) => void;
  /** Reports that such a problem is over. */
  onMended: (message: string) => void;
}

/** Number of newest deletions that are remembered: the file has a limit. */
const maxDeletions = 10_000;

export class AcknowledgedLedger {
  readonly #counts = new Map<string, RunCount>();
  readonly #deleted = new Set<string>();
  #losses: Loss[] = [];
  #file: FileHandle | null = null;
  #bytes = 0;
  /** Size of the file after the last compaction. */
  #compactedBytes = 0;
  #lines: string[] = [];
  #flushing: Promise<void> | null = null;
  /** The file is incomplete and has to be rewritten. */
  #isBehind = false;
  #hasFailed = false;
  #closed = false;
  readonly #compactBytes: number;

  private constructor(
    readonly path: string,
    readonly options: LedgerOptions,
  ) {
    this.#compactBytes = options.compactBytes ?? 1 << 20;
  }

  /**
   * Reads the ledger; a missing file is an empty one. Writes nothing.
   * @throws StoreUnavailableError when the file exists and cannot be read
   */
  static async open(path: string, options: LedgerOptions): Promise<AcknowledgedLedger> {
    const ledger = new AcknowledgedLedger(path, options);
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT')
        throw new StoreUnavailableError(
          `${path} cannot be read (${error.message}). It counts what was acknowledged. Make it readable, or move it away, ` +
            'and a loss from before cannot be told.',
          { cause: error },
        );
      ledger.#isBehind = true;
      return '';
    });
    const lines = text.split('\n');
    // A crash leaves the last line unfinished; what it counts was not acknowledged yet.
    const isTorn = lines.pop() !== '';
    const entries = lines.map(decode);
    const damaged = entries.filter((entry) => entry === null).length;
    for (const entry of entries) if (entry) ledger.#apply(entry);
    if (damaged > 0)
      options.onProblem(
        `${path} is damaged: ${damaged} of its ${lines.length} lines cannot be read. ` +
          'Their counts are unknown, so a loss may be reported as smaller than it is. The runs are not affected.',
      );
    ledger.#bytes = Buffer.byteLength(text);
    ledger.#isBehind ||= isTorn || damaged > 0;
    return ledger;
  }

  /** Losses that nobody has accepted yet. */
  get losses(): readonly Loss[] {
    return this.#losses;
  }
  /** The counts by run. */
  get counts(): ReadonlyMap<string, RunCount> {
    return this.#counts;
  }

  /**
   * Compares the store with the ledger, records new losses and continues counting from what the store holds.
   * @returns the new losses
   */
  async reconcile(held: Held, nowMs = Date.now()): Promise<Loss[]> {
    await this.#flushing;
    const found = this.missingFrom(held, nowMs);
    for (const runId of this.#deleted)
      if (held.runs.has(runId))
        found.push({
          ...{ runId, isGone: false, isBack: true, events: null, commands: 0, foundMs: nowMs },
          lastStep: held.runs.get(runId)!.lastStep,
        });
    // Data that was missing and has been put back is no loss.
    const left = this.#losses.filter((loss) => !isPutBack(loss, this.#counts.get(loss.runId), held));
    const differs =
      found.length > 0 ||
      left.length < this.#losses.length ||
      held.runs.size !== this.#counts.size ||
      [...held.runs].some(([runId, run]) => {
        const count = this.#counts.get(runId);
        return count?.lastSeq !== run.lastSeq || count.commands !== run.commands;
      });
    if (differs) {
      this.#losses = [...left, ...found];
      for (const { runId, isBack } of found) if (isBack) this.#deleted.delete(runId);
      this.#counts.clear();
      for (const [runId, { lastSeq, commands }] of held.runs) this.#counts.set(runId, { lastSeq, commands });
      this.#isBehind = true;
    }
    if (this.#isBehind) await this.flush();
    return found;
  }

  /** Acknowledged data that the store does not hold. Changes nothing. */
  missingFrom(held: Held, nowMs = Date.now()): Loss[] {
    const missing: Loss[] = [];
    for (const [runId, count] of this.#counts) {
      const run = held.runs.get(runId);
      // A version without a ledger deleted it.
      if (!run && held.deleted.has(runId)) continue;
      const has = run ?? { lastSeq: 0, commands: 0, lastStep: 0 };
      if (run && has.lastSeq >= count.lastSeq && has.commands >= count.commands) continue;
      missing.push({
        ...{ runId, isGone: !run, isBack: false, foundMs: nowMs, lastStep: run ? run.lastStep : null },
        events: has.lastSeq < count.lastSeq ? { from: has.lastSeq + 1, to: count.lastSeq } : null,
        commands: Math.max(0, count.commands - has.commands),
      });
    }
    return missing;
  }

  /** Sets counts of a run. They are durable once `flush` has resolved. */
  count(runId: string, change: Partial<RunCount>): void {
    const { lastSeq, commands } = { ...(this.#counts.get(runId) ?? { lastSeq: 0, commands: 0 }), ...change };
    this.#note({ run: runId, lastSeq, commands });
  }

  /** Number of command records of a run. */
  commands(runId: string): number {
    return this.#counts.get(runId)?.commands ?? 0;
  }

  delete(runId: string): void {
    this.#note({ deleted: runId });
  }

  /** Accepts all losses so far, so that they are no longer reported. @returns these losses */
  async accept(): Promise<readonly Loss[]> {
    const accepted = this.#losses;
    this.#note({ accepted: Date.now() });
    await this.flush();
    return accepted;
  }

  /**
   * Resolves when all counts are on disk. A failed write is reported to `onProblem` and tried again with the next one;
   * it never stops the store.
   */
  async flush(): Promise<void> {
    if (this.#lines.length === 0 && !this.#isBehind) return this.#flushing ?? undefined;
    // A write under way may have begun before the newest line was added.
    this.#flushing = (this.#flushing ?? Promise.resolve()).then(() => this.#write());
    return this.#flushing;
  }

  async close(): Promise<void> {
    await this.flush();
    this.#closed = true;
    await this.#file?.close();
    this.#file = null;
  }

  #note(entry: Entry): void {
    this.#apply(entry);
    this.#lines.push(encode(entry));
  }

  #apply(entry: Entry): void {
    if ('run' in entry) {
      this.#counts.set(entry.run, { lastSeq: entry.lastSeq, commands: entry.commands });
      this.#deleted.delete(entry.run);
    } else if ('deleted' in entry) {
      this.#counts.delete(entry.deleted);
      this.#deleted.add(entry.deleted);
      if (this.#deleted.size > maxDeletions) this.#deleted.delete(this.#deleted.values().next().value!);
    } else if ('loss' in entry) this.#losses.push(entry.loss);
    else this.#losses = [];
  }

  async #write(): Promise<void> {
    if (this.#closed || (this.#lines.length === 0 && !this.#isBehind)) return;
    const lines = this.#lines;
    this.#lines = [];
    try {
      const isLarge = this.#bytes > Math.max(this.#compactBytes, 4 * this.#compactedBytes);
      if (this.#isBehind || isLarge) await this.#writeAnew();
      else await this.#append(lines.join(''));
      if (this.#hasFailed) this.options.onMended(`${this.path} can be written again.`);
      this.#hasFailed = false;
    } catch (error) {
      this.#isBehind = true;
      if (!this.#hasFailed)
        this.options.onProblem(
          `${this.path} cannot be written, so a loss of newly stored data could not be reported: ` +
            `${error instanceof Error ? error.message : String(error)}. Storing goes on.`,
        );
      this.#hasFailed = true;
    }
  }

  async #append(text: string): Promise<void> {
    this.#file ??= await open(this.path, 'a', 0o600);
    await this.#file.appendFile(text);
    await this.#file.datasync();
    this.#bytes += Buffer.byteLength(text);
  }

  async #writeAnew(): Promise<void> {
    const entries: Entry[] = [
      ...[...this.#deleted].map((deleted) => ({ deleted })),
      ...[...this.#counts].map(([run, count]) => ({ run, ...count })),
      ...this.#losses.map((loss) => ({ loss })),
    ];
    const text = Buffer.from(entries.map(encode).join(''));
    await this.#file?.close();
    this.#file = null;
    await writeDurably(this.path, text);
    this.#bytes = this.#compactedBytes = text.length;
    this.#isBehind = false;
  }
}

/** Whether the store holds again what it had lost, with nothing new written in its place. */
function isPutBack(loss: Loss, count: RunCount | undefined, held: Held): boolean {
  const run = held.runs.get(loss.runId);
  if (loss.isBack) return !run;
  if (!run) return false;
  if (loss.isGone && count) return false;
  if (loss.events && ((count?.lastSeq ?? 0) >= loss.events.to || run.lastSeq < loss.events.to)) return false;
  return loss.commands === 0 || run.commands >= (count?.commands ?? 0) + loss.commands;
}

function encode(entry: Entry): string {
  const json = JSON.stringify(entry);
  return `${checksum(json)} ${json}\n`;
}

function decode(line: string): Entry | null {
  const json = line.slice(17);
  return line[16] === ' ' && line.slice(0, 16) === checksum(json) ? (JSON.parse(json) as Entry) : null;
}

function checksum(json: string): string {
  return createHash('sha256').update(json).digest('hex').slice(0, 16);
}
