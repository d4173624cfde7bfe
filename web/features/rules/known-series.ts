import { wallTimeSeries } from '@plumbline/shared/metric';
import type { RunStore } from '../../lib/run-store';

/** Names of the series that a run, or what it was branched from, has had values of; the trainer may yet send others. */
export function seriesWithValues({ series, past }: Pick<RunStore, 'series' | 'past'>): string[] {
  const own = [...series].flatMap(([name, { length }]) => (length > 0 ? [name] : []));
  return [...new Set([...own, ...(past?.columns.keys() ?? [])])].filter((name) => name !== wallTimeSeries).sort();
}
