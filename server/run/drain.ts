import { Refusal } from './refusal.js';

/**
 * How a hub that is being stopped stops taking work. First nothing new is begun, while attached trainers go on; then
 * nothing is taken at all, and what is under way is answered.
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

  /** From now on nothing new is begun. */
  start(): void {
    if (this.#stage === 'open') this.#stage = 'draining';
  }

  /** From now on no work is taken; resolves when all that was taken has ended. */
  async finish(): Promise<void> {
    this.#stage = 'finished';
    await Promise.allSettled(this.#underWay);
  }

  /** @throws Refusal `draining` once the hub is being stopped */
  refuseNewWork(): void {
    if (this.#stage !== 'open')
      throw new Refusal('draining', 'The hub is being stopped or restarted. Try again when it is back.');
  }

  /** Does what must be answered before the hub may end. @throws Refusal `draining` when it is too late for it */
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
