import type { Command } from '@plumbline/shared/command';

/** The hub's end of a trainer's connection. */
export interface TrainerLink {
  /** Resolves when the trainer has queued the command. */
  send(command: Command): Promise<void>;
  close(): void;
}

/** Whether the trainer of a run is connected, and how long it may stay away. */
export class Liveness {
  /** Counts attaches and grace periods, so that an earlier grace period has no effect. */
  turns = 0;
  #link: TrainerLink | null = null;
  #grace: NodeJS.Timeout | undefined;
  /** By the clock of `performance`. */
  #busyUntilMs = 0;

  /** @param onAbsent the trainer has stayed away for `graceMs` */
  constructor(
    readonly graceMs: number,
    readonly onAbsent: () => void,
  ) {}

  get link(): TrainerLink | null {
    return this.#link;
  }

  /** The newest connection of a run holds it: the one before is closed. */
  connect(link: TrainerLink): void {
    this.turns++;
    const before = this.#link;
    this.#link = link;
    if (before !== link) before?.close();
    this.notBusy();
    this.endGrace();
  }

  /** @returns false if another connection holds the run by now */
  disconnect(link: TrainerLink): boolean {
    if (this.#link !== link) return false;
    this.#link = null;
    return true;
  }

  /** Closes the connection, if there is one. */
  cut(): void {
    this.#link?.close();
    this.release();
  }

  /** The connection no longer holds the run. It stays open, as its trainer may attach another run. */
  release(): void {
    this.#link = null;
    this.endGrace();
  }

  /**
   * Starts the grace period, unless one runs or its consequences are pending: a trainer that is refused again and again must
   * not prolong it.
   */
  expect(): void {
    if (!this.#grace) this.#startGrace();
  }

  #startGrace(): void {
    this.turns++;
    this.endGrace();
    const busyMs = Math.max(0, this.#busyUntilMs - performance.now());
    this.#grace = setTimeout(this.onAbsent, busyMs + this.graceMs).unref();
  }

  /** Delays the grace period by the time that the trainer is busy. */
  busyFor(ms: number): void {
    this.#busyUntilMs = performance.now() + ms;
    if (this.#grace) this.#startGrace();
  }

  /** The trainer sends again. */
  notBusy(): void {
    this.#busyUntilMs = 0;
  }

  /** Ends the grace period, or its consequences have been dealt with. */
  endGrace(): void {
    clearTimeout(this.#grace);
    this.#grace = undefined;
  }
}
