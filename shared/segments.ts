import { isSuperseded } from './run.js';
import type { CheckpointSaved, ControlEvent } from './trainer-event.js';

/** Events that change how a run trains: a checkpoint holds their effect only where it was saved after them. */
const changing: ReadonlySet<ControlEvent['type']> = new Set(['command_applied', 'trainable_changed']);

/** Events that hold whatever step a run goes back to: what it and its series are, and that files are gone. */
const lasting: ReadonlySet<ControlEvent['type']> = new Set([
  ...(['run_started', 'run_described', 'series_declared', 'checkpoint_removed'] as const),
]);

/** Types of the events that `inForce` needs to know. */
export const segmentTypes = ['segment_started', 'checkpoint_saved'] as const satisfies ControlEvent['type'][];

/**
 * Tells which control events of a run no later segment has undone. A segment takes the run back to a checkpoint. That
 * undoes every event after the segment's first step, except declarations and removals of checkpoints, and every change
 * after the checkpoint was saved, also one at the same step.
 * @param events all of the run's `segmentTypes`, and any others, ascending by seq
 */
export function inForce(events: readonly ControlEvent[]): (event: ControlEvent) => boolean {
  const segments = events.flatMap((event, index) =>
    event.type === 'segment_started' ? { ...event, savedSeq: savedSeqOf(event, events.slice(0, index)) } : [],
  );
  return (event) =>
    lasting.has(event.type) ||
    (!isSuperseded(segments, event) &&
      !(
        changing.has(event.type) &&
        segments.some(({ seq, savedSeq }) => savedSeq !== undefined && savedSeq < event.seq && event.seq < seq)
      ));
}

/**
 * The control events that no later segment has undone; see `inForce`.
 * @param events ascending by seq, with all of the run's `segmentTypes`
 */
export const eventsInForce = (events: readonly ControlEvent[]): readonly ControlEvent[] =>
  events.some(({ type }) => type === 'segment_started') ? events.filter(inForce(events)) : events;

/** The event that saved the checkpoint of a segment; the run's start for a segment that goes on from there. */
function savedSeqOf(
  { fromStep, checkpointId }: Extract<ControlEvent, { type: 'segment_started' }>,
  before: readonly ControlEvent[],
): number | undefined {
  if (checkpointId === undefined) return fromStep === 0 ? 0 : undefined;
  return before.findLast((event) => event.type === 'checkpoint_saved' && event.checkpointId === checkpointId)?.seq;
}

/** Types of the events that `checkpointsOf` looks at. */
export const checkpointTypes = [...segmentTypes, 'checkpoint_removed'] as const satisfies ControlEvent['type'][];

/**
 * The checkpoints that a run can restore, in the order of their latest saves; none that a later segment has superseded.
 * @param events all of the run's `checkpointTypes`, and any others, ascending by seq
 */
export function checkpointsOf(events: readonly ControlEvent[]): CheckpointSaved[] {
  const there = new Map<string, CheckpointSaved>();
  for (const event of eventsInForce(events)) {
    if (event.type === 'checkpoint_removed' || event.type === 'checkpoint_saved') there.delete(event.checkpointId);
    if (event.type === 'checkpoint_saved') there.set(event.checkpointId, event);
  }
  return [...there.values()];
}
