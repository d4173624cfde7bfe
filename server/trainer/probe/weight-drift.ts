/** One parameter's place in the flat vector of all weights. */
export interface FlatParameter {
  group: string;
  size: number;
}

/**
 * Relative L2 distance of each parameter group from the base model, ||w - w0|| / ||w0||. Summed in double precision in
 * a fixed order, so that a frozen group's value is exactly the same at each probe.
 * @param base, now all weights, flat, in the order of `parameters`
 */
export function groupDrift(
  base: ArrayLike<number>,
  now: ArrayLike<number>,
  parameters: readonly FlatParameter[],
): Map<string, number> {
  const sums = new Map<string, { moved: number; size: number }>();
  let at = 0;
  for (const { group, size } of parameters) {
    const sum = sums.get(group) ?? { moved: 0, size: 0 };
    for (const end = at + size; at < end; at++) {
      sum.moved += (now[at]! - base[at]!) ** 2;
      sum.size += base[at]! ** 2;
    }
    sums.set(group, sum);
  }
  if (at !== base.length || at !== now.length)
    throw new Error(`The parameters have ${at} values; got ${base.length} and ${now.length}.`);
  return new Map([...sums].map(([group, { moved, size }]) => [group, Math.sqrt(moved / size)]));
}
