import { isSuperseded } from './run.js';
import type { ControlEvent } from './trainer-event.js';

/** Events that change how a run trains: a checkpoint holds their effect only where it was saved after them. */
const changing: ReadonlySet<ControlEvent['type']> = new Set(['command_applied', 'trainable_changed']);

/**
 * The control events that no later segment has undone. A segment takes the run back to a checkpoint. That undoes every
 * event after the segment's first step, and every change after the checkpoint was saved, also one at the same step.
 * @param events ascending by seq
 */
export function eventsInForce(events: readonly ControlEvent[]): readonly ControlEvent[] {
  const segments = events.flatMap((event, index) =>
    event.type === 'segment_started' ? { ...event, savedSeq: savedSeqOf(event, events.slice(0, index)) } : [],
  );
  if (segments.length === 0) return events;
  return events.filter(
    (event) =>
      !isSuperseded(segments, event) &&
      !(
        changing.has(event.type) &&
        segments.some(({ seq, savedSeq }) => savedSeq !== undefined && savedSeq < event.seq && event.seq < seq)
      ),
  );
}

/** The event that saved the checkpoint of a segment; the run's start for a segment that goes on from there. */
function savedSeqOf(
  { fromStep, checkpointId }: Extract<ControlEvent, { type: 'segment_started' }>,
  before: readonly ControlEvent[],
): number | undefined {
  if (checkpointId === undefined) return fromStep === 0 ? 0 : undefined;
  return before.findLast((event) => event.type === 'checkpoint_saved' && event.checkpointId === checkpointId)?.seq;
}
