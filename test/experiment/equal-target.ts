/** What one probe of a run measured: accuracies in percent, number-token bias 0..1, KL in nats. */
export interface CurvePoint {
  step: number;
  target: number;
  heldOut: number;
  numberTokens: number;
  kl: number;
}

/** The highest target accuracy that every curve reaches at some probe, in percent. */
export function commonTarget(curves: readonly (readonly CurvePoint[])[]): number {
  return Math.min(...curves.map((points) => Math.max(...points.map(({ target }) => target))));
}

/**
 * A curve's values where it first reaches a target accuracy, between two probes by linear interpolation.
 * @throws Error when the curve never reaches it
 */
export function atTargetAccuracy(points: readonly CurvePoint[], target: number): CurvePoint {
  const index = points.findIndex((point) => point.target >= target);
  const after = points[index];
  if (!after) throw new Error(`This curve never reaches ${target} %.`);
  const before = points[index - 1];
  if (!before) return after;
  const share = (target - before.target) / (after.target - before.target);
  const between = (key: keyof CurvePoint): number => before[key] + share * (after[key] - before[key]);
  return {
    step: between('step'),
    target,
    heldOut: between('heldOut'),
    numberTokens: between('numberTokens'),
    kl: between('kl'),
  };
}
