import { hasEnded, type RunId, type RunSummary } from '@plumbline/shared/run';
import type { EventStore } from '../store/event-store.js';

/** The runs as this hub knows them, which of them it holds, and which have changes that the store has yet to take. */
export class RunTable {
  /** Runs that have not ended and that this hub holds: it writes them, ends their commands, misses their trainers. */
  readonly held = new Set<RunId>();
  readonly #runs = new Map<RunId, RunSummary>();
  readonly #unwritten = new Set<RunId>();

  /** @param onChange a run appeared or changed; what it was before, if it was there */
  constructor(
    readonly store: EventStore,
    readonly onChange: (run: RunSummary, before: RunSummary | undefined) => void,
  ) {}

  get(runId: RunId): RunSummary | undefined {
    return this.#runs.get(runId);
  }
  get all(): RunSummary[] {
    return [...this.#runs.values()];
  }

  /** Knows a run as it is now, and tells nobody. */
  put(run: RunSummary): void {
    this.#runs.set(run.runId, run);
  }

  /** Knows a run as it is now, and says so. */
  set(run: RunSummary): RunSummary {
    const before = this.#runs.get(run.runId);
    this.put(run);
    this.onChange(run, before);
    return run;
  }

  /** The run is no more. */
  delete(runId: RunId): void {
    this.#runs.delete(runId);
    this.#unwritten.delete(runId);
    this.held.delete(runId);
  }

  /** Another hub holds the run from now on, and writes it. @returns false when this one did not hold it */
  letGo(runId: RunId): boolean {
    this.#unwritten.delete(runId);
    return this.held.delete(runId);
  }

  /** The store has yet to take the run's last change. */
  owe(runId: RunId): void {
    this.#unwritten.add(runId);
  }
  owes(runId: RunId): boolean {
    return this.#unwritten.has(runId);
  }

  /**
   * Writes the run as it is now; owed until that has succeeded.
   * @param hasLastWord it is as its trainer's last word says
   */
  async write(runId: RunId, hasLastWord = false): Promise<void> {
    this.owe(runId);
    const { trainerConnected: _c, lastSeq: _s, lastStep: _t, ...stored } = this.#runs.get(runId)!;
    await this.store.updateRun(stored, hasLastWord);
    this.#unwritten.delete(runId);
    // An ended run needs no holder: it is what the store says.
    if (!hasEnded(stored.state)) return;
    this.held.delete(runId);
    // Another hub may still deliver events that it had acknowledged before it died.
    this.store.letGo?.(runId);
  }
}
