import type { RunId } from '@plumbline/shared/run';
import type { DeletedOne } from './cluster.js';

/** News of a deleted run is late by seconds: far more than are deleted in that time. */
const mostKept = 10_000;

/** The runs that were deleted last, so that late news of one is not taken for news of a later run under its id. */
export class DeletedIds {
  /** When each was created, the one deleted first at the front. */
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
