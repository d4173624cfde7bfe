import type { RunProgress, RunSummary } from './run.js';

/**
 * Applies progress to a summary. Late progress, and progress of another run under the same id, change nothing. The summary
 * keeps its revision, because a summary that arrives after the progress may still be news.
 */
export const withProgress = <T extends RunSummary>(
  run: T,
  { createdMs, lastStep, lastSeq, revision = 0 }: RunProgress,
): T =>
  run.createdMs === createdMs && revision >= (run.revision ?? 0) && lastSeq >= run.lastSeq
    ? { ...run, lastStep, lastSeq }
    : run;
