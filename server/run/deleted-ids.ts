import type { RunId } from '@plumbline/shared/run';
import type { DeletedOne } from './cluster.js';

/** The most ids: far more than runs are deleted in the seconds that late news may take. */
const mostKept = 10_000;

/** The newest deleted runs, so that late news of one is not taken for news of a later run under its id. */
export class DeletedIds {
  /** The creation time of each, the first deleted at the front. */
  readonly #createdMs = new Map<RunId, number>();

  constructor(readonly most: number = mostKept) {}

  get size(): number {
    return this.#createdMs.size;
  }

  add({ runId, createdMs }: DeletedOne): void {
    this.#createdMs.delete(runId);
    this.#createdMs.set(runId, createdMs);
    const [oldest] = this.#createdMs.keys();
    if (this.#createdMs.size > this.most) this.#createdMs.delete(oldest!);
  }

  /** A new run has the id. */
  delete(runId: RunId): void {
    this.#createdMs.delete(runId);
  }

  has({ runId, createdMs }: DeletedOne): boolean {
    return this.#createdMs.get(runId) === createdMs;
  }
}
