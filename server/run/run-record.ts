import { visibleLine } from '@plumbline/shared/plain-text';
import { hasEnded, type RunId, type RunSummary } from '@plumbline/shared/run';
import type { EventStore, SharedStore, StoredSummary } from '../store/event-store.js';
import type { ToldRun } from './cluster.js';
import type { DeletedIds } from './deleted-ids.js';

export interface RunRecordOptions {
  store: EventStore;
  shared: SharedStore | null;
  deletedIds: DeletedIds;
  /** The run appeared or changed; what it was before, if it was there. */
  onChange: (told: ToldRun, before: RunSummary | undefined) => void;
}

/** Browsers are told at most so often that something was refused, in so many characters. */
const tellRefusalMs = 1000;
const maxNotice = 500;

/** A run as this hub knows it, and how its record in the store stands to that. It changes in the run's mailbox. */
export class RunRecord {
  /** This hub holds the run's lease: it writes the record, ends the commands, and says when the trainer is lost. */
  isHeld = false;
  /** The store has yet to take the last change. */
  isDirty = false;
  /** A person ended the run without its trainer. */
  isEndedByForce = false;
  trainerSecretDigest: string | undefined;
  #summary: RunSummary | null = null;
  #refusalToldMs = 0;

  constructor(
    readonly runId: RunId,
    readonly options: RunRecordOptions,
  ) {}

  /** Null where there is no such run, as far as this hub knows. */
  get summary(): RunSummary | null {
    return this.#summary;
  }

  /** Whether this is late news of a run that was deleted, not of a later one under its id. */
  isDeleted({ createdMs }: { createdMs: number }): boolean {
    return this.options.deletedIds.has({ runId: this.runId, createdMs });
  }

  /** Knows the run as it is now, and tells nobody. */
  put(run: RunSummary): RunSummary {
    const revision = Math.max((this.#summary?.revision ?? 0) + 1, Date.now());
    this.#summary = { ...run, revision };
    return this.#summary;
  }

  /** Knows the run as it is now, and says so. */
  change(run: RunSummary): RunSummary {
    const before = this.#summary;
    const now = this.put(run);
    this.tell(before);
    return now;
  }

  /** Says how the run is. @param before how it was */
  tell(before: RunSummary | null): void {
    this.options.onChange(this.told, before ?? undefined);
  }

  get told(): ToldRun {
    const { trainerSecretDigest, isEndedByForce } = this;
    return { run: this.#summary!, trainerSecretDigest, isEndedByForce };
  }

  /** Knows the run as the store has it, and tells nobody. */
  restore(stored: StoredSummary): RunSummary {
    return this.put(this.summaryOf(stored));
  }

  /** The run as the store has it; what no browser is told is noted here. */
  summaryOf({ trainerSecretDigest, config: _, ...stored }: StoredSummary): RunSummary {
    this.trainerSecretDigest ??= trainerSecretDigest;
    return { ...stored, trainerConnected: false };
  }

  /** Knows the run as the hub that holds it says, and tells nobody. */
  mirror({ run, trainerSecretDigest, isEndedByForce }: ToldRun): void {
    this.#summary = run;
    this.trainerSecretDigest ??= trainerSecretDigest;
    this.isEndedByForce ||= isEndedByForce ?? false;
  }

  /** The hub has refused something of what the trainer sends: the run's page says so, with the newest message. */
  noteRefused(count: number, message: string): void {
    if (!this.#summary) return;
    const atMs = Date.now();
    const before = this.#summary.refused;
    const refused = { count: (before?.count ?? 0) + count, message: visibleLine(message).slice(0, maxNotice), atMs };
    // A trainer may send thousands a second.
    if (before && atMs - this.#refusalToldMs < tellRefusalMs) return void this.put({ ...this.#summary, refused });
    this.#refusalToldMs = atMs;
    this.change({ ...this.#summary, refused });
  }

  /** The run is no more. */
  clear(): void {
    this.#summary = null;
    this.trainerSecretDigest = undefined;
    this.isHeld = this.isDirty = this.isEndedByForce = false;
  }

  /** What is written of a run. */
  get stored(): Parameters<EventStore['updateRun']>[0] {
    const { trainerConnected: _c, lastSeq: _s, lastStep: _t, revision: _r, ...rest } = this.#summary!;
    const { commands: _k, busy: _b, refused: _f, ...stored } = rest;
    const { trainerSecretDigest } = this;
    return { ...stored, ...(trainerSecretDigest !== undefined && { trainerSecretDigest }) };
  }

  /**
   * Writes the run as it is now; dirty until that has succeeded.
   * @param hasLastWord it is as its trainer's last word says
   */
  async write(hasLastWord = false): Promise<void> {
    this.isDirty = true;
    const { stored } = this;
    await this.options.store.updateRun(stored, hasLastWord);
    this.isDirty = false;
    // An ended run needs no lease: it is what the store says.
    if (!hasEnded(stored.state)) return;
    this.isHeld = false;
    // Another hub may still deliver events that it had acknowledged before it died.
    this.options.shared?.letGo(this.runId);
  }
}
