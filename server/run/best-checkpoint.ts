import { isMeasured } from '@plumbline/shared/metric';
import type { CheckpointSaved } from '@plumbline/shared/trainer-event';

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
