import type { RunId } from '@plumbline/shared/run';
import { Refusal } from './refusal.js';

/**
 * What this hub is doing with each run: a run is deleted when nothing is under way with it, and nothing is begun with a
 * run that is being deleted. Otherwise what was begun would be written behind the deletion.
 */
export class RunWork {
  readonly #underWay = new Map<RunId, number>();
  readonly #deleting = new Set<RunId>();

  isUnderWay(runId: RunId): boolean {
    return this.#underWay.has(runId);
  }

  isBeingDeleted(runId: RunId): boolean {
    return this.#deleting.has(runId);
  }

  /**
   * Does something with a run.
   * @throws Refusal `draining` while the run is being deleted: whether it will be is not certain, so it is to be tried again
   */
  async on<T>(runId: RunId, job: () => Promise<T>): Promise<T> {
    if (this.#deleting.has(runId))
      throw new Refusal('draining', `The run ${runId} is being deleted. Try again in a moment.`);
    this.#underWay.set(runId, (this.#underWay.get(runId) ?? 0) + 1);
    try {
      return await job();
    } finally {
      const others = this.#underWay.get(runId)! - 1;
      if (others > 0) this.#underWay.set(runId, others);
      else this.#underWay.delete(runId);
    }
  }

  /** Deletes a run with which nothing is under way. */
  async deleting<T>(runId: RunId, job: () => Promise<T>): Promise<T> {
    this.#deleting.add(runId);
    try {
      return await job();
    } finally {
      this.#deleting.delete(runId);
    }
  }
}
