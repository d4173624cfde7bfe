import { closestName } from '@plumbline/shared/closest-name';
import { wallTimeSeries } from '@plumbline/shared/metric';
import type { RunStore } from '../../lib/run-store';

/** The series that a rule can watch. */
export interface KnownSeries {
  names: readonly string[];
  /** There can be no others: such a run is known beforehand. Else a trainer may still send more. */
  areAll: boolean;
}

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
