const intervalMs = 60_000;
/** All further kinds are counted as one, so that invented kinds cannot fill the memory. */
const maxKinds = 1000;

/** Limits repeated log lines: writes the first at once, then one a minute with the number of repetitions. */
export class Repeats {
  readonly #counts = new Map<string, number>();

  constructor(readonly everyMs = intervalMs) {}

  /**
   * @param kind equal for lines that count as repetitions
   * @param line writes the line; `times` is the number of repetitions since the line before
   */
  write(kind: string, line: (times: { times?: number }) => void): void {
    const known = this.#counts.has(kind) || this.#counts.size < maxKinds ? kind : 'others';
    const count = this.#counts.get(known);
    if (count !== undefined) return void this.#counts.set(known, count + 1);
    line({});
    this.#counts.set(known, 0);
    const timer = setInterval(() => {
      const times = this.#counts.get(known)!;
      this.#counts.set(known, 0);
      if (times > 0) return line({ times });
      clearInterval(timer);
      this.#counts.delete(known);
    }, this.everyMs).unref();
  }
}
