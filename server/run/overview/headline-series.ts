import { metrics } from '@plumbline/shared/metric';

/** Series that tell most of a run, where it has them. */
const telling: readonly string[] = [metrics.loss, metrics.heldOutMean, metrics.numberTokensHeldOut, metrics.kl];
const targets = /^target\/.+\/accuracy$/;
/** Of the first named ones so many are shown where a run has none of the above. */
const leastHeadlines = 4;
export const maxHeadlines = 8;

/** Whether a series is shown whenever a run has it. */
export const isTelling = (name: string): boolean => telling.includes(name) || targets.test(name);

/** Series that may be headlines although nothing has named them yet. */
export const tellingSeries = telling;

/**
 * The series that a list shows of a run: those that tell most, then the first that its trainer named.
 * @param named the run's series, in the order in which they were named
 */
export function headlinesOf(named: readonly string[]): string[] {
  const known = new Set(named);
  const chosen = [...telling.filter((name) => known.has(name)), ...named.filter((name) => targets.test(name))];
  const others = named.filter((name) => !isTelling(name));
  return [...chosen.slice(0, maxHeadlines), ...others.slice(0, Math.max(0, leastHeadlines - chosen.length))];
}
