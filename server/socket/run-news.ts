import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';

/** How often it is told how far runs have come, and of how many at once: the others wait, those that waited longest first. */
const progressMs = 1000;
const maxAtOnce = 100;

/**
 * Tells all browsers of runs: at once when one appears or its state changes; how far those that go on have come at most
 * once a second, in turn, so that none is left out however many there are.
 * @param tell what changed is told to everybody; `isProgress`: a browser that cannot keep up may miss it
 */
export function tellOfRuns(runs: RunRegistry, tell: (run: RunSummary, isProgress: boolean) => void): void {
  /** Runs that have come further since they were told of, in the order in which they did. */
  const waiting = new Set<RunId>();
  let timer: NodeJS.Timeout | undefined;
  const tellNext = (): void => {
    timer = undefined;
    for (const runId of [...waiting].slice(0, maxAtOnce)) {
      waiting.delete(runId);
      const run = runs.find(runId);
      if (run) tell(run, true);
    }
    if (waiting.size > 0) schedule();
  };
  const schedule = (): void => {
    timer ??= setTimeout(tellNext, progressMs).unref();
  };
  runs.on('run', (run) => {
    waiting.delete(run.runId);
    tell(run, false);
  });
  runs.on('events', (runId) => {
    waiting.add(runId);
    schedule();
  });
}
