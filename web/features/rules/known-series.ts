import { wallTimeSeries } from '@plumbline/shared/metric';
import type { SeriesFacts } from '@plumbline/shared/series';
import type { RunStore } from '../../lib/run-store';

/** The series that a rule can watch. */
export interface KnownSeries {
  names: readonly string[];
  /** There can be no others: such a run is known beforehand. Else a trainer may still send more. */
  areAll: boolean;
  /** What they are measured in, by name, where that is known. */
  units?: ReadonlyMap<string, string>;
}

/** The units of series, by name. */
export const unitsOf = (series: Iterable<SeriesFacts>): Map<string, string> =>
  new Map([...series].flatMap(({ name, unit }) => (unit === undefined ? [] : [[name, unit] as const])));

/** Names of the series that a run, or what it was branched from, has had values of; the trainer may yet send others. */
export function seriesWithValues({ series, past }: Pick<RunStore, 'series' | 'past'>): string[] {
  const own = [...series].flatMap(([name, { length }]) => (length > 0 ? [name] : []));
  return [...new Set([...own, ...(past?.columns.keys() ?? [])])].filter((name) => name !== wallTimeSeries).sort();
}

/** What is to be said of a series that is not known, with the name that was probably meant; empty of one that is. */
export function unknownWords(metric: string, { names, areAll }: KnownSeries): string {
  const typed = metric.trim();
  if (typed === '' || names.length === 0 || names.includes(typed)) return '';
  const meant = closestName(typed, names);
  const hint = meant === null ? '' : `: did you mean ${meant}?`;
  if (areAll) return `No run of these tasks has the series “${typed}”${hint || '.'}`;
  return `This run has had no value of “${typed}” so far${hint || '.'}`;
}

/**
 * The name that was probably meant: one that ends in what was typed (`loss`: `train/loss`), else the one that the fewest
 * changed letters lead to (Levenshtein 1966), if they are few; null where there is none.
 */
export function closestName(typed: string, names: readonly string[]): string | null {
  const ending = names.find((name) => typed !== '' && name.endsWith(`/${typed}`));
  if (ending !== undefined) return ending;
  const most = Math.max(2, Math.floor(typed.length / 4));
  let closest: { name: string | null; changes: number } = { name: null, changes: most + 1 };
  for (const name of names) {
    if (Math.abs(name.length - typed.length) >= closest.changes) continue;
    const changes = changedLetters(typed, name);
    if (changes < closest.changes) closest = { name, changes };
  }
  return closest.name;
}

/** Letters put in, left out or replaced from one word to another. */
function changedLetters(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1];
    for (let column = 1; column <= to.length; column++)
      next.push(
        Math.min(next[column - 1]! + 1, row[column]! + 1, row[column - 1]! + (letter === to[column - 1] ? 0 : 1)),
      );
    row = next;
  }
  return row[to.length]!;
}
