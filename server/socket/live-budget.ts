import type { RunId } from '@plumbline/shared/run';

/** From where on a selection misses live data. */
export interface Missed {
  runId: RunId;
  lastSeq: number;
}

/**
 * Bounds the text of live data that the hub writes for selections of series in one second. The first half is for all of
 * them, the second half for those that cost less than an equal share. A selection that is left out stays so until the
 * second ends, so that its clients fetch history once.
 */
export class LiveBudget {
  #spent = 0;
  /** Characters that each selection has cost lately: halved each second. */
  readonly #costs = new Map<string, number>();
  readonly #missed = new Map<string, Missed>();

  /** @param perSecond characters */
  constructor(readonly perSecond: number) {}

  get hasLeftOut(): boolean {
    return this.#missed.size > 0;
  }

  costOf(selection: string): number {
    return this.#costs.get(selection) ?? 0;
  }

  /** Whether the selection may have its next message. Otherwise it misses live data from there on. */
  admits(selection: string, missed: Missed): boolean {
    if (this.#missed.has(selection)) return false;
    const half = this.perSecond / 2;
    const share = half / Math.max(1, this.#costs.size);
    if (this.#spent < half || (this.#spent < this.perSecond && this.costOf(selection) < share)) return true;
    this.#missed.set(selection, missed);
    return false;
  }

  /** What the selection has missed in this second. */
  missedBy(selection: string): Missed | undefined {
    return this.#missed.get(selection);
  }

  charge(selection: string, characters: number): void {
    this.#spent += characters;
    this.#costs.set(selection, this.costOf(selection) + characters);
  }

  /**
   * A new second begins.
   * @param unsent characters that wait for slow clients: they count as spent
   * @returns what the selections have missed that were left out
   */
  renew(unsent: number): [selection: string, missed: Missed][] {
    this.#spent = unsent;
    for (const [selection, cost] of this.#costs)
      if (cost < 100) this.#costs.delete(selection);
      else this.#costs.set(selection, cost / 2);
    const missed = [...this.#missed];
    this.#missed.clear();
    return missed;
  }
}
