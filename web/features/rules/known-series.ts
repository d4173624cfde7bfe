import { wallTimeSeries } from '@plumbline/shared/metric';
import type { RunStore } from '../../lib/run-store';

/** Names of the series that a run has declared or had values of, or what it was branched from; it may yet send others. */
export function seriesOfRun({ seriesNames, past }: Pick<RunStore, 'seriesNames' | 'past'>): string[] {
  const before = [...(past?.columns ?? [])].flatMap(([name, { length }]) => (length > 0 ? [name] : []));
  return [...new Set([...seriesNames, ...before])].filter((name) => name !== wallTimeSeries).sort();
}
