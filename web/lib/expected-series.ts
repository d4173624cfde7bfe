import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import { builtInSeries } from '@plumbline/shared/built-in/series';
import { hasEnded } from '@plumbline/shared/run';
import type { RunStore } from './run-store';

/**
 * Names of the series that a run has or will have. The built-in trainer declares a series with its first value; until it
 * has ended, all that it sends counts.
 */
export function expectedSeries(store: RunStore): ReadonlySet<string> {
  const run = store.runSummary;
  const config = run && builtInConfig(run.description);
  // A branch shows its parent's course where it has none of its own.
  const mayGrow = run !== null && (!hasEnded(run.state) || run.parent !== null || store.declared.size === 0);
  const names = store.seriesNames;
  if (config && mayGrow) for (const name of builtInSeries(config)) names.add(name);
  return names;
}
