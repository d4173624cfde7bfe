import { isMeasured } from '@plumbline/shared/metric';
import type { CheckpointSaved } from '@plumbline/shared/trainer-event';

/**
 * The points of a series that decide which checkpoint is best: of each checkpoint the last measured value up to its step.
 * The series is taken in parts, and only these points are kept.
 */
export class MeasuredBefore {
  /** Steps of checkpoints, ascending, each with the last measured value since the step before. */
  readonly #steps: readonly number[];
  readonly #points: ({ step: number; value: number } | undefined)[];
  #at = 0;

  constructor(checkpoints: readonly CheckpointSaved[]) {
    this.#steps = [...new Set(checkpoints.map(({ step }) => step))].sort((a, b) => a - b);
    this.#points = this.#steps.map(() => undefined);
  }

  /** The last step that matters; 0 if there is no checkpoint. */
  get lastStep(): number {
    return this.#steps.at(-1) ?? 0;
  }

  /** Takes the next part of the series, ascending by event number. */
  take({ steps, values }: { steps: ArrayLike<number>; values: ArrayLike<number> }): void {
    for (let i = 0; i < steps.length; i++) {
      const [step, value] = [steps[i]!, values[i]!];
      while (this.#at < this.#steps.length && this.#steps[this.#at]! < step) this.#at++;
      if (this.#at < this.#steps.length && isMeasured(value)) this.#points[this.#at] = { step, value };
    }
  }

  /** The points taken so far, columnar. */
  get series(): { steps: number[]; values: number[] } {
    const points = this.#points.filter((point) => point !== undefined);
    return { steps: points.map(({ step }) => step), values: points.map(({ value }) => value) };
  }
}

/**
 * The checkpoint with the best metric, by the last measured value before it was saved (see `isMeasured`); of equal ones
 * the latest. Null if there is no such value.
 *
 * @param checkpoints the checkpoints that can be restored
 * @param series columnar, ascending by event number
 */
export function bestCheckpoint(
  checkpoints: readonly CheckpointSaved[],
  series: { steps: ArrayLike<number>; values: ArrayLike<number> } | undefined,
  better: 'higher' | 'lower',
): { checkpoint: CheckpointSaved; value: number; measuredAtStep: number } | null {
  let best: ReturnType<typeof bestCheckpoint> = null;
  for (const checkpoint of checkpoints) {
    let at = -1;
    for (let i = 0; i < (series?.steps.length ?? 0) && series!.steps[i]! <= checkpoint.step; i++)
      if (isMeasured(series!.values[i]!)) at = i;
    if (at < 0) continue;
    const value = series!.values[at]!;
    const isAsGood = best === null || (better === 'higher' ? value >= best.value : value <= best.value);
    if (isAsGood) best = { checkpoint, value, measuredAtStep: series!.steps[at]! };
  }
  return best;
}
