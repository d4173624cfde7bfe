import type { RunId } from '@plumbline/shared/run';

/** Nobody can tell more lines apart. */
export const maxCompared = 6;

/** The address of the page that compares runs, at most `maxCompared` of them. */
export const compareAddress = (runs: readonly RunId[]): string =>
  `/compare/?${new URLSearchParams(runs.slice(0, maxCompared).map((runId) => ['run', runId]))}`;
