import { Refusal } from './refusal.js';

/**
 * The two phases of stopping a hub. First it refuses new work, while attached trainers go on. Then it refuses all work and
 * answers what is under way.
 */
export class Drain {
  #stage: 'open' | 'draining' | 'finished' = 'open';
  readonly #underWay = new Set<Promise<unknown>>();

  get started(): boolean {
    return this.#stage !== 'open';
  }

  /** Calls that have not been answered yet. */
  get underWay(): number {
    return this.#underWay.size;
  }

  /** Refuses new work from now on. */
  start(): void {
    if (this.#stage === 'open') this.#stage = 'draining';
  }

  /** Refuses all work from now on; resolves when the accepted work has ended. */
  async finish(): Promise<void> {
    this.#stage = 'finished';
    await Promise.allSettled(this.#underWay);
  }

  /** @throws Refusal `draining` once the hub is being stopped */
  refuseNewWork(): void {
    if (this.#stage !== 'open')
      throw new Refusal('draining', 'The hub is being stopped or restarted. Try again when it is back.');
  }

  /** Does work that the hub must answer before it ends. @throws Refusal `draining` if it is too late */
  async work<T>(job: () => Promise<T>): Promise<T> {
    if (this.#stage === 'finished') this.refuseNewWork();
    const result = job();
    this.#underWay.add(result);
    try {
      return await result;
    } finally {
      this.#underWay.delete(result);
    }
  }
}
