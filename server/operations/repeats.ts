const intervalMs = 60_000;
/** More kinds than this are counted as one: whoever makes them up fills no memory. */
const maxKinds = 1000;

/** Has what repeats written down at once the first time, and from then on once a minute with how often it came. */
export class Repeats {
  readonly #counts = new Map<string, number>();

  constructor(readonly everyMs = intervalMs) {}

  /**
   * @param kind what counts as the same
   * @param line writes it down; what it is given says how often it came since the line before
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
