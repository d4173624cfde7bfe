/** The highest target accuracy that every curve reaches at some probe, in percent. */
export function commonTarget(curves: readonly (readonly { target: number }[])[]): number {
  return Math.min(...curves.map((probes) => Math.max(...probes.map(({ target }) => target))));
}

/**
 * A curve's values where it first reaches a target accuracy, linearly interpolated between two probes: the later probe
 * would show a fast learner beyond the target, with a higher cost.
 * @throws Error when the curve never reaches it
 */
export function atTarget<Probe extends { target: number } & Record<keyof Probe, number>>(
  probes: readonly Probe[],
  target: number,
): Probe {
  const index = probes.findIndex((probe) => probe.target >= target);
  const after = probes[index];
  if (!after) throw new Error(`This curve never reaches ${target} %.`);
  const before = probes[index - 1];
  if (!before) return after;
  const share = (target - before.target) / (after.target - before.target);
  const between = { ...after };
  for (const key of Object.keys(after) as (keyof Probe)[])
    between[key] = (before[key] + share * (after[key] - before[key])) as Probe[keyof Probe];
  return between;
}
