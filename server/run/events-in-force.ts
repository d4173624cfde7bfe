import { inForce, segmentTypes } from '@plumbline/shared/segments';
import type { RunSummary } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { EventStore } from '../store/event-store.js';

/** Tells which control events of a stored run no later segment has undone; see `inForce`. */
export async function storedInForce(
  store: Pick<EventStore, 'eachControlEvents'>,
  { runId, segments }: Pick<RunSummary, 'runId' | 'segments'>,
  signal?: AbortSignal,
): Promise<(event: ControlEvent) => boolean> {
  if (!segments?.length) return () => true;
  const events: ControlEvent[] = [];
  const take = (texts: readonly string[]): void =>
    void events.push(...texts.map((text) => JSON.parse(text) as ControlEvent));
  await store.eachControlEvents(runId, take, { types: segmentTypes, ...(signal && { signal }) });
  return inForce(events);
}
