import type { SeriesFacts } from '@plumbline/shared/series';

const isLoss = /(^|[^a-z])loss/i;
const isOfHeldOut = /(^|[^a-z])(eval|val|valid|validation|test|held[ _-]?out)([^a-z]|$)/i;

/** Whether a series is a loss or measured on held-out data, by its name and label. */
export const isLossOrHeldOut = ({ name, label = '' }: SeriesFacts): boolean =>
  [isLoss, isOfHeldOut].some((kind) => kind.test(name) || kind.test(label));

/** Losses first, then series with a direction or of held-out data, then the rest. */
function rank({ name, label = '', better }: SeriesFacts): number {
  if (isLoss.test(name) || isLoss.test(label)) return 0;
  return better !== undefined || isOfHeldOut.test(name) || isOfHeldOut.test(label) ? 1 : 2;
}

/**
 * The series of a run that have no chart of their own on the page, most telling first.
 * @param declared in the order of their declaration
 * @param hasChart whether a fixed chart of the page draws a series
 */
export function ownSeries(declared: Iterable<SeriesFacts>, hasChart: (name: string) => boolean): string[] {
  // Sorting keeps the order of equals.
  return [...declared]
    .filter(({ name }) => !hasChart(name))
    .sort((a, b) => rank(a) - rank(b))
    .map(({ name }) => name);
}
