import { fromWireNumber, metrics } from '@plumbline/shared/metric';
import type { RunSummary } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { Finding } from '../analysis/finding.js';
import { findings } from '../analysis/findings.js';
import type { EventStore } from '../store/event-store.js';

/** Points of a series that findings are made from: all of it for any run but a very long one. */
const findingsPoints = 20_000;

/** Why a run went as it went, from what is stored of it. */
export async function runFindings(
  store: Pick<EventStore, 'history' | 'controlEvents' | 'commands'>,
  run: Pick<RunSummary, 'runId' | 'config' | 'state' | 'parent'>,
): Promise<Finding[]> {
  const { series } = await store.history(run.runId, { maxPoints: findingsPoints });
  const { events } = await store.controlEvents(run.runId);
  return findings(series, events, questionsPerTask(events), run, await store.commands(run.runId));
}

function questionsPerTask(events: readonly ControlEvent[]): number {
  const start = events.find((event) => event.type === 'run_started');
  const given = start?.type === 'run_started' ? start.baseline[metrics.questionsPerTask] : undefined;
  // A trainer that does not say is taken to have asked many: its noise is then not overrated.
  return given === undefined ? 1000 : fromWireNumber(given);
}
