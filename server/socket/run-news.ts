import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';

/** The interval of progress messages, and the most runs in one round; the longest waiting go first. */
const progressMs = 1000;
const maxAtOnce = 100;

/**
 * Tells all browsers about runs: at once when one appears or its state changes, and about progress at most once a second, in
 * turn, so that every run gets its share.
 * @param tell `changed` sends the whole summary; `progressed` sends only the progress, which a slow browser may miss
 */
export function tellOfRuns(runs: RunRegistry, tell: Record<'changed' | 'progressed', (run: RunSummary) => void>): void {
  /** Runs with unreported progress, in order. */
  const waiting = new Set<RunId>();
  let timer: NodeJS.Timeout | undefined;
  const tellNext = (): void => {
    timer = undefined;
    for (const runId of [...waiting].slice(0, maxAtOnce)) {
      waiting.delete(runId);
      const run = runs.find(runId);
      if (run) tell.progressed(run);
    }
    if (waiting.size > 0) schedule();
  };
  const schedule = (): void => {
    timer ??= setTimeout(tellNext, progressMs).unref();
  };
  runs.on('run', (run) => {
    waiting.delete(run.runId);
    tell.changed(run);
  });
  runs.on('events', (runId) => {
    waiting.add(runId);
    schedule();
  });
}
