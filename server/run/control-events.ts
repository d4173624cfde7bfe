import type { RunId } from '@plumbline/shared/run';
import { checkpointsOf, checkpointTypes } from '@plumbline/shared/segments';
import type { CheckpointSaved, ControlEvent } from '@plumbline/shared/trainer-event';
import type { ControlEventOptions, EventStore } from '../store/event-store.js';
import { parseInTurns } from '../parse-in-turns.js';
import { Turn } from '../turn.js';

/**
 * Reads a run's control events as outlines, one by one, and yields the event loop between slices.
 * @param take may wait where an event is long
 * @returns the event number up to which the events are complete
 * @throws as `eachControlEvents` does
 */
export function eachOutline(
  store: Pick<EventStore, 'eachControlEvents'>,
  runId: RunId,
  take: (event: ControlEvent, text: string) => void | Promise<void>,
  options: Omit<ControlEventOptions, 'isOutline'> = {},
): Promise<{ lastSeq: number }> {
  const turn = new Turn();
  const takeAll = async (texts: readonly string[]): Promise<void> => {
    for (const text of texts) await take((await parseInTurns(text, turn)) as ControlEvent, text);
  };
  return store.eachControlEvents(runId, takeAll, { ...options, isOutline: true });
}

/**
 * The outlines of a run's control events, in order. Holds all of them in memory.
 * @returns also the event number up to which the events are complete
 */
export async function controlEventsOf(
  store: Pick<EventStore, 'eachControlEvents'>,
  runId: RunId,
  options: Omit<ControlEventOptions, 'isOutline'> = {},
): Promise<{ lastSeq: number; events: ControlEvent[] }> {
  const events: ControlEvent[] = [];
  const { lastSeq } = await eachOutline(store, runId, (event) => void events.push(event), options);
  return { lastSeq, events };
}

/** The checkpoints that a stored run can restore, in the order of saving. */
export async function storedCheckpoints(
  store: Pick<EventStore, 'eachControlEvents'>,
  runId: RunId,
  signal?: AbortSignal,
): Promise<CheckpointSaved[]> {
  const options = { types: checkpointTypes, ...(signal && { signal }) };
  return checkpointsOf((await controlEventsOf(store, runId, options)).events);
}
