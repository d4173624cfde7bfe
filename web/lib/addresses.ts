import type { RunId } from '@plumbline/shared/run';
import { runIdPattern } from '@plumbline/shared/run-state';

/** The run that an address names; null if its name cannot be a run's. */
export const runIdFrom = (named: string | null): RunId | null =>
  named !== null && runIdPattern.test(named) ? (named as RunId) : null;

/** Nobody can tell more lines apart. */
export const maxCompared = 6;

/** The address of the page that compares runs, at most `maxCompared` of them. */
export const compareAddress = (runs: readonly RunId[]): string =>
  `/compare/?${new URLSearchParams(runs.slice(0, maxCompared).map((runId) => ['run', runId]))}`;
