/** How long, and for how many series, a course is kept up to date after its last chart went out of sight. */
const keptMs = 60_000;
const mostKept = 100;

/**
 * The series of a run that the page needs now. Visible charts need courses; tiles and maps need last values only. The feed
 * follows this, and records here which courses have arrived.
 */
export class SeriesDemand {
  /** Series whose course has arrived and is kept up to date. The feed writes it. */
  readonly complete = new Set<string>();
  readonly #drawn = new Map<string, number>();
  readonly #last = new Map<string, number>();
  /** Out of sight and still kept up to date, each with its expiry; the first to leave come first. */
  readonly #kept = new Map<string, number>();
  readonly #listeners = new Set<() => void>();
  #expiry: ReturnType<typeof setTimeout> | undefined;

  /** Calls the listener at each change of demand. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Names of series in visible charts. */
  get drawn(): string[] {
    return [...this.#drawn.keys()];
  }
  /** Names of all series whose course is needed: those in visible charts, and those that recently were. */
  get courses(): string[] {
    return [...this.#drawn.keys(), ...this.#kept.keys()];
  }
  /** Names, and groups such as `drift/*`, whose last values are needed. */
  get lasts(): string[] {
    return [...this.#last.keys()];
  }

  isCourse(name: string): boolean {
    return this.#drawn.has(name) || this.#kept.has(name);
  }
  isNeeded(name: string): boolean {
    return this.isCourse(name) || this.isLastOnly(name);
  }
  /** Whether only the last value of a series is needed. */
  isLastOnly(name: string): boolean {
    if (this.isCourse(name)) return false;
    if (this.#last.has(name)) return true;
    for (const asked of this.#last.keys()) if (asked.endsWith('*') && name.startsWith(asked.slice(0, -1))) return true;
    return false;
  }

  /** Registers a need for the course of these series. @returns ends it */
  draw(names: readonly string[]): () => void {
    for (const name of names) this.#kept.delete(name);
    return this.#count(this.#drawn, names, (name) => this.#kept.set(name, Date.now() + keptMs));
  }

  /** Registers a need for the last values of these series or groups. @returns ends it */
  showLast(names: readonly string[]): () => void {
    return this.#count(this.#last, names, () => undefined);
  }

  close(): void {
    clearTimeout(this.#expiry);
    this.#listeners.clear();
  }

  #count(counts: Map<string, number>, names: readonly string[], gone: (name: string) => void): () => void {
    const asked = new Set(names);
    for (const name of asked) counts.set(name, (counts.get(name) ?? 0) + 1);
    this.#changed();
    let isOver = false;
    return () => {
      if (isOver) return;
      isOver = true;
      for (const name of asked) {
        const left = counts.get(name)! - 1;
        if (left > 0) counts.set(name, left);
        else {
          counts.delete(name);
          gone(name);
        }
      }
      this.#expire();
      this.#changed();
    };
  }

  #expire(): void {
    clearTimeout(this.#expiry);
    const nowMs = Date.now();
    let over = this.#kept.size - mostKept;
    for (const [name, untilMs] of this.#kept) if (over-- > 0 || untilMs <= nowMs) this.#kept.delete(name);
    const [next] = this.#kept.values();
    if (next === undefined) return;
    this.#expiry = setTimeout(() => {
      this.#expire();
      this.#changed();
    }, next - nowMs);
  }

  #changed(): void {
    for (const listener of this.#listeners) listener();
  }
}
