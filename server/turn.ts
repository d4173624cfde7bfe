import { setImmediate as afterOthers } from 'node:timers/promises';

/** Several such works go on at one time, and each may take this much of one turn. */
const sliceMs = 5;

/** What a long piece of work may take of one turn of the event loop; nothing else is done meanwhile. */
export class Turn {
  #startMs = performance.now();

  get isOver(): boolean {
    return performance.now() - this.#startMs >= sliceMs;
  }

  /** Lets others have the event loop, and begins a turn of its own. */
  async next(): Promise<void> {
    await afterOthers();
    this.#startMs = performance.now();
  }
}

/** Takes entries of a list one after another, in turns. */
export function inTurns<T>(take: (entry: T) => void): (entries: readonly T[]) => Promise<void> {
  const turn = new Turn();
  return async (entries) => {
    for (const entry of entries) {
      if (turn.isOver) await turn.next();
      take(entry);
    }
  };
}
