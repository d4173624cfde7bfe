/** Lets `burst` calls pass at once and then one every `everyMs`. */
export class RateLimit {
  #allowance: number;
  #lastMs = performance.now();

  constructor(
    readonly burst: number,
    readonly everyMs: number,
  ) {
    this.#allowance = burst;
  }

  take(): boolean {
    const now = performance.now();
    this.#allowance = Math.min(this.burst, this.#allowance + (now - this.#lastMs) / this.everyMs);
    this.#lastMs = now;
    if (this.#allowance < 1) return false;
    this.#allowance -= 1;
    return true;
  }
}
