import { wallTimeSeries } from '@plumbline/shared/metric';
import type { RunStore } from '../../lib/run-store';

/** Names of the series that a run or its ancestors have declared or sent; the run may still send others. */
export function seriesOfRun({ seriesNames, past }: Pick<RunStore, 'seriesNames' | 'past'>): string[] {
  const before = [...(past?.columns ?? [])].flatMap(([name, { length }]) => (length > 0 ? [name] : []));
  return [...new Set([...seriesNames, ...before])].filter((name) => name !== wallTimeSeries).sort();
}
