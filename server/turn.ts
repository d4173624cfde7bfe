import { setImmediate as afterOthers } from 'node:timers/promises';

/** Time slice of one task in a turn of the event loop; several tasks may run at a time. */
const sliceMs = 5;

/** The time slice of a long task in a turn of the event loop, which it blocks meanwhile. */
export class Turn {
  #startMs = performance.now();

  get isOver(): boolean {
    return performance.now() - this.#startMs >= sliceMs;
  }

  /** Yields the event loop and begins a new slice. */
  async next(): Promise<void> {
    await afterOthers();
    this.#startMs = performance.now();
  }
}

/** Takes entries one by one, and yields the event loop after each slice. */
export function inTurns<T>(take: (entry: T) => void): (entries: Iterable<T>) => Promise<void> {
  const turn = new Turn();
  return async (entries) => {
    for (const entry of entries) {
      if (turn.isOver) await turn.next();
      take(entry);
    }
  };
}
