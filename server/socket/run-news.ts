import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { RunRegistry } from '../run/registry.js';

/** How often it is told how far runs have come, and of how many at once: the others wait, those that waited longest first. */
const progressMs = 1000;
const maxAtOnce = 100;

/**
 * Tells all browsers of runs: at once when one appears or its state changes; how far those that go on have come at most
 * once a second, in turn, so that none is left out however many there are.
 * @param tell `changed`: told with all that is known of the run; `progressed`: only how far it has come, and a browser
 *   that cannot keep up may miss it
 */
export function tellOfRuns(runs: RunRegistry, tell: Record<'changed' | 'progressed', (run: RunSummary) => void>): void {
  /** Runs that have come further since they were told of, in the order in which they did. */
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
