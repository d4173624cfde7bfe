import { isLoss } from '@plumbline/shared/series-facts';
import type { SeriesFacts } from '@plumbline/shared/series';
import { groupsOf } from './series-groups';

const isOfHeldOut = /(^|[^a-z])(eval|val|valid|validation|test|held[ _-]?out)([^a-z]|$)/i;

/** Whether a series has a direction, is a loss or is measured on held-out data. */
export const isTelling = (facts: SeriesFacts): boolean => rank(facts) < 2;

/** More series than this under one prefix are a set, such as a value a layer: none of them has a chart of its own. */
const mostOfGroup = 12;

/**
 * Leaves out series of large groups: All series has them. A run that has no others keeps them.
 * @param isKept whether a series stays, whatever its group
 */
export function withoutLargeGroups(names: readonly string[], isKept: (name: string) => boolean): string[] {
  const large = new Set(
    groupsOf(names)
      .filter(({ prefix, names: of }) => prefix !== '' && of.length > mostOfGroup)
      .map(({ prefix }) => `${prefix}/`),
  );
  const left = names.filter((name) => isKept(name) || !large.has(name.slice(0, name.indexOf('/') + 1)));
  return left.length > 0 ? left : [...names];
}

/** Losses first, then series with a direction or of held-out data, then the rest. */
function rank({ name, label = '', better }: SeriesFacts): number {
  if (isLoss({ name, label })) return 0;
  return better !== undefined || isOfHeldOut.test(name) || isOfHeldOut.test(label) ? 1 : 2;
}

/**
 * The series of a run without a fixed chart on the page, the most telling first.
 * @param declared in the order of their declaration
 * @param hasChart whether a fixed chart of the page draws a series
 */
export function ownSeries(declared: Iterable<SeriesFacts>, hasChart: (name: string) => boolean): string[] {
  // A stable sort keeps the order of declaration.
  return [...declared]
    .filter(({ name }) => !hasChart(name))
    .sort((a, b) => rank(a) - rank(b))
    .map(({ name }) => name);
}
