import { inForce, segmentTypes } from '@plumbline/shared/segments';
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
