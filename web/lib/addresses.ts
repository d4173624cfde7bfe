import type { RunId } from '@plumbline/shared/run';

/** More lines than these nobody tells apart. */
export const maxCompared = 6;

/** The page that lays runs over each other, the first few of them. */
export const compareAddress = (runs: readonly RunId[]): string =>
  `/compare/?${new URLSearchParams(runs.slice(0, maxCompared).map((runId) => ['run', runId]))}`;
