import type { RunId } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { EventStore } from '../../server/store/event-store.js';

/** All control events of a run, whole. */
export async function storedControlEvents(
  store: Pick<EventStore, 'eachControlEvents'>,
  runId: RunId,
): Promise<{ lastSeq: number; events: ControlEvent[] }> {
  const events: ControlEvent[] = [];
  const { lastSeq } = await store.eachControlEvents(runId, (texts) => {
    for (const text of texts) events.push(JSON.parse(text) as ControlEvent);
  });
  return { lastSeq, events };
}
