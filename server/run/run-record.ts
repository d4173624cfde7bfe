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

/** How often browsers hear of refusals, and the most characters of such a notice. */
const tellRefusalMs = 1000;
const maxNotice = 500;

/** A run as this hub knows it, and the state of its stored record. Change it in the run's mailbox. */
export class RunRecord {
  /** This hub holds the run's lease: it writes the record, ends the commands and decides when the trainer is lost. */
  isHeld = false;
  /** The last change is not stored yet. */
  isDirty = false;
  /** A person ended the run without its trainer. */
  isEndedByForce = false;
  trainerSecretDigest: string | undefined;
  #summary: RunSummary | null = null;
  #refusalToldMs = 0;
  /** The newest refusal, if it was not told yet. */
  #untoldRefusal: RunSummary['refused'] | null = null;
  #refusalTimer: NodeJS.Timeout | undefined;

  constructor(
    readonly runId: RunId,
    readonly options: RunRecordOptions,
  ) {}

  /** Null if this hub knows no such run. */
  get summary(): RunSummary | null {
    return this.#summary;
  }

  /** Whether this is late news of a deleted run, not of a later run under its id. */
  isDeleted({ createdMs }: { createdMs: number }): boolean {
    return this.options.deletedIds.has({ runId: this.runId, createdMs });
  }

  /** Replaces the summary without notifying anybody. */
  put(run: RunSummary): RunSummary {
    const revision = Math.max((this.#summary?.revision ?? 0) + 1, Date.now());
    this.#summary = { ...run, revision };
    return this.#summary;
  }

  /** Replaces the summary and notifies the listeners. */
  change(run: RunSummary): RunSummary {
    const before = this.#summary;
    const now = this.put(run);
    this.tell(before);
    return now;
  }

  /** Notifies the listeners of the run. @param before its previous summary */
  tell(before: RunSummary | null): void {
    this.options.onChange(this.told, before ?? undefined);
  }

  get told(): ToldRun {
    const { trainerSecretDigest, isEndedByForce } = this;
    return { run: this.#summary!, trainerSecretDigest, isEndedByForce };
  }

  /** Restores the summary from the store without notifying anybody. */
  restore(stored: StoredSummary): RunSummary {
    return this.put(this.summaryOf(stored));
  }

  /** The summary of a stored run. It keeps the secret's digest here, which no browser sees. */
  summaryOf({ trainerSecretDigest, config: _, ...stored }: StoredSummary): RunSummary {
    this.trainerSecretDigest ??= trainerSecretDigest;
    return { ...stored, trainerConnected: false };
  }

  /** Takes the summary from the hub that holds the run, without notifying anybody. */
  mirror({ run, trainerSecretDigest, isEndedByForce }: ToldRun): void {
    this.#summary = run;
    this.trainerSecretDigest ??= trainerSecretDigest;
    this.isEndedByForce ||= isEndedByForce ?? false;
  }

  /** Records a refusal for the run's page, with the newest message. */
  noteRefused(count: number, message: string): void {
    if (!this.#summary) return;
    const atMs = Date.now();
    const before = this.#summary.refused;
    const refused = { count: (before?.count ?? 0) + count, message: visibleLine(message).slice(0, maxNotice), atMs };
    // A trainer may send thousands a second.
    const sinceMs = atMs - this.#refusalToldMs;
    if (before && sinceMs >= 0 && sinceMs < tellRefusalMs) {
      this.put({ ...this.#summary, refused });
      this.#untoldRefusal = refused;
      this.#refusalTimer ??= setTimeout(() => this.#tellRefusal(), tellRefusalMs - sinceMs).unref();
      return;
    }
    this.#refusalToldMs = atMs;
    this.#untoldRefusal = null;
    this.change({ ...this.#summary, refused });
  }

  /** Tells the last refusal of a burst, unless it was told or the run went to another hub meanwhile. */
  #tellRefusal(): void {
    this.#refusalTimer = undefined;
    const refused = this.#untoldRefusal;
    this.#untoldRefusal = null;
    const run = this.#summary;
    if (!run || refused === null || run.refused !== refused) return;
    this.#refusalToldMs = Date.now();
    this.change(run);
  }

  /** Forgets a deleted run. */
  clear(): void {
    clearTimeout(this.#refusalTimer);
    this.#refusalTimer = undefined;
    this.#untoldRefusal = null;
    this.#summary = null;
    this.trainerSecretDigest = undefined;
    this.isHeld = this.isDirty = this.isEndedByForce = false;
  }

  /** The record to store. */
  get stored(): Parameters<EventStore['updateRun']>[0] {
    const { trainerConnected: _c, lastSeq: _s, lastStep: _t, revision: _r, ...rest } = this.#summary!;
    const { commands: _k, busy: _b, refused: _f, ...stored } = rest;
    const { trainerSecretDigest } = this;
    return { ...stored, ...(trainerSecretDigest !== undefined && { trainerSecretDigest }) };
  }

  /**
   * Writes the record; it stays dirty until that succeeds.
   * @param hasLastWord whether the state comes from the trainer's last word
   */
  async write(hasLastWord = false): Promise<void> {
    this.isDirty = true;
    const { stored } = this;
    await this.options.store.updateRun(stored, hasLastWord);
    this.isDirty = false;
    // An ended run needs no lease: the store has its final state.
    if (!hasEnded(stored.state)) return;
    this.isHeld = false;
    // Another hub may still deliver events that it had acknowledged before it crashed.
    this.options.shared?.letGo(this.runId);
  }
}
