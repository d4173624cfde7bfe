import type { Command } from '@plumbline/shared/command';

/** The hub's end of a trainer's connection. */
export interface TrainerLink {
  /** Resolves when the trainer has queued the command. */
  send(command: Command): Promise<void>;
  close(): void;
}

/** Whether the trainer of a run is connected, and how long it may stay away. */
export class Liveness {
  /** Counts how often a trainer came, or its grace period began: a grace period of before is void. */
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

  /** @returns false when another connection holds the run by now */
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

  /** The run is not this connection's any more; the connection stays, whose trainer may go on with another run. */
  release(): void {
    this.#link = null;
    this.endGrace();
  }

  /** The trainer is to come within the grace period, which begins anew. */
  startGrace(): void {
    this.turns++;
    this.endGrace();
    const busyMs = Math.max(0, this.#busyUntilMs - performance.now());
    this.#grace = setTimeout(this.onAbsent, busyMs + this.graceMs).unref();
  }

  /** The trainer will be silent for so long: a grace period begins after that only. */
  busyFor(ms: number): void {
    this.#busyUntilMs = performance.now() + ms;
    if (this.#grace) this.startGrace();
  }

  /** The trainer is heard again. */
  notBusy(): void {
    this.#busyUntilMs = 0;
  }

  endGrace(): void {
    clearTimeout(this.#grace);
    this.#grace = undefined;
  }
}
