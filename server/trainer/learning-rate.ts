export interface Schedule {
  kind: 'constant' | 'cosine';
  /** Learning rate after warm-up. */
  peak: number;
  warmupSteps: number;
  steps: number;
  /** The cosine ends at this share of the peak. */
  floor?: number;
}

/**
 * Learning rate of an optimizer step, counted from 1: linear warm-up to the peak, then constant or half a cosine down
 * to `floor * peak` at the last step (Loshchilov & Hutter 2017).
 */
export function learningRateAt(step: number, { kind, peak, warmupSteps, steps, floor = 0.1 }: Schedule): number {
  if (step <= warmupSteps) return (peak * step) / warmupSteps;
  if (kind === 'constant' || steps <= warmupSteps) return peak;
  const done = Math.min(1, (step - warmupSteps) / (steps - warmupSteps));
  return peak * (floor + (1 - floor) * 0.5 * (1 + Math.cos(Math.PI * done)));
}
