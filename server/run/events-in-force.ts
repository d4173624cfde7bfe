import { inForce, segmentTypes, undoneCommands } from '@plumbline/shared/segments';
import type { CommandId } from '@plumbline/shared/command';
import type { RunSummary } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { EventStore } from '../store/event-store.js';
import { controlEventsOf } from './control-events.js';

/** Tells which control events of a stored run no later segment has undone; see `inForce`. */
export async function storedInForce(
  store: Pick<EventStore, 'eachControlEvents'>,
  { runId, segments }: Pick<RunSummary, 'runId' | 'segments'>,
  signal?: AbortSignal,
): Promise<(event: ControlEvent) => boolean> {
  if (!segments?.length) return () => true;
  const { events } = await controlEventsOf(store, runId, { types: segmentTypes, ...(signal && { signal }) });
  return inForce(events);
}

/** The commands of a stored run whose effect a later segment has undone. */
export async function storedUndoneCommands(
  store: Pick<EventStore, 'eachControlEvents'>,
  { runId, segments }: Pick<RunSummary, 'runId' | 'segments'>,
): Promise<ReadonlySet<CommandId>> {
  if (!segments?.length) return new Set();
  return undoneCommands((await controlEventsOf(store, runId, { types: [...segmentTypes, 'command_applied'] })).events);
}
