import type { Budget } from './limits.js';

/** A token bucket: lets `burst` calls pass at once and then `perSecond` each second. */
export class RateLimit {
  #allowance: number;
  #lastMs = performance.now();

  constructor(readonly budget: Budget) {
    this.#allowance = budget.burst;
  }

  take(): boolean {
    this.#refill();
    if (this.#allowance < 1) return false;
    this.#allowance -= 1;
    return true;
  }

  /** Seconds until the next call may pass; 0 now. */
  get waitSeconds(): number {
    this.#refill();
    return Math.max(0, (1 - this.#allowance) / this.budget.perSecond);
  }

  get isUnused(): boolean {
    this.#refill();
    return this.#allowance >= this.budget.burst;
  }

  #refill(): void {
    const now = performance.now();
    const { burst, perSecond } = this.budget;
    this.#allowance = Math.min(burst, this.#allowance + ((now - this.#lastMs) * perSecond) / 1000);
    this.#lastMs = now;
  }
}

/** The most keys: far more than callers at one time. A further key evicts others. */
const maxKeys = 10_000;

/** A rate limit of its own for each key. */
export class KeyedRateLimit {
  readonly #limits = new Map<string, RateLimit>();

  constructor(readonly budget: Budget) {}

  of(key: string): RateLimit {
    let limit = this.#limits.get(key);
    if (!limit) {
      if (this.#limits.size >= maxKeys) this.#makeRoom();
      this.#limits.set(key, (limit = new RateLimit(this.budget)));
    }
    return limit;
  }

  /** Evicts the full buckets, which a new one equals; if there are none, the oldest tenth. */
  #makeRoom(): void {
    for (const [key, limit] of this.#limits) if (limit.isUnused) this.#limits.delete(key);
    if (this.#limits.size < maxKeys) return;
    for (const key of [...this.#limits.keys()].slice(0, maxKeys / 10)) this.#limits.delete(key);
  }
}
