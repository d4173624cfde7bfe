import type { Command } from '@plumbline/shared/command';
import type { RunId } from '@plumbline/shared/run';

/** The hub's end of a trainer's connection. */
export interface TrainerLink {
  /** Resolves when the trainer has queued the command. */
  send(command: Command): Promise<void>;
  close(): void;
}

/** Which trainer is connected for which run, and how long one that is gone may stay away. */
export class TrainerLinks {
  readonly #links = new Map<RunId, TrainerLink>();
  readonly #graces = new Map<RunId, NodeJS.Timeout>();
  /** How many connections are about to hold each run. */
  readonly #arriving = new Map<RunId, number>();

  /** @param onAbsent a trainer has stayed away for `graceMs` */
  constructor(
    readonly graceMs: number,
    readonly onAbsent: (runId: RunId) => void,
  ) {}

  get(runId: RunId): TrainerLink | undefined {
    return this.#links.get(runId);
  }

  /** A trainer is connected, or about to be. */
  isHere(runId: RunId): boolean {
    return this.#links.has(runId) || this.#arriving.has(runId);
  }

  /** A trainer asks for the run; followed by `arrived` whether it gets it or not. */
  arrive(runId: RunId): void {
    this.#arriving.set(runId, (this.#arriving.get(runId) ?? 0) + 1);
    this.endGrace(runId);
  }

  arrived(runId: RunId): void {
    const others = this.#arriving.get(runId)! - 1;
    if (others > 0) this.#arriving.set(runId, others);
    else this.#arriving.delete(runId);
  }

  /** The newest connection of a run holds it: the one before is closed. */
  connect(runId: RunId, link: TrainerLink): void {
    const before = this.#links.get(runId);
    this.#links.set(runId, link);
    if (before !== link) before?.close();
    this.endGrace(runId);
  }

  /** @returns false when another connection holds the run by now */
  disconnect(runId: RunId, link: TrainerLink): boolean {
    return this.#links.get(runId) === link && this.#links.delete(runId);
  }

  /** The run is no business of this hub's any more. */
  drop(runId: RunId): void {
    this.#links.get(runId)?.close();
    this.forget(runId);
  }

  /** The run is no more; its trainer's connection stays, which may be going on with another. */
  forget(runId: RunId): void {
    this.endGrace(runId);
    this.#links.delete(runId);
  }

  startGrace(runId: RunId): void {
    this.endGrace(runId);
    this.#graces.set(runId, setTimeout(() => this.onAbsent(runId), this.graceMs).unref());
  }

  endGrace(runId: RunId): void {
    clearTimeout(this.#graces.get(runId));
    this.#graces.delete(runId);
  }

  /** Ends all waiting. */
  close(): void {
    for (const timer of this.#graces.values()) clearTimeout(timer);
  }
}
