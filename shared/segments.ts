import type { CommandId } from './command.js';
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
  const steps = stepsBack(events);
  return (event) => {
    if (lasting.has(event.type)) return true;
    const next = steps[firstAfter(steps, event.seq)];
    return !next || (event.step <= next.toStep && !(changing.has(event.type) && next.toSeq < event.seq));
  };
}

/**
 * The control events that no later segment has undone; see `inForce`.
 * @param events ascending by seq, with all of the run's `segmentTypes`
 */
export const eventsInForce = (events: readonly ControlEvent[]): readonly ControlEvent[] =>
  events.some(({ type }) => type === 'segment_started') ? events.filter(inForce(events)) : events;

/**
 * The commands whose effect a later segment has undone.
 * @param events ascending by seq, with all of the run's `segmentTypes` and `command_applied`
 */
export function undoneCommands(events: readonly ControlEvent[]): ReadonlySet<CommandId> {
  const isInForce = inForce(events);
  return new Set(
    events.flatMap((event) => (event.type === 'command_applied' && !isInForce(event) ? [event.commandId] : [])),
  );
}

/** How far a segment and all later ones take a run back. */
interface StepBack {
  /** The first event of the segment. */
  seq: number;
  toStep: number;
  /** The event that saved the checkpoint; 0 for the start of the run, Infinity if it is unknown. */
  toSeq: number;
}

function stepsBack(events: readonly ControlEvent[]): StepBack[] {
  const saves = new Map<string, number>();
  const steps: StepBack[] = [];
  for (const event of events)
    if (event.type === 'checkpoint_saved') saves.set(event.checkpointId, event.seq);
    else if (event.type === 'segment_started') {
      const { seq, fromStep, checkpointId } = event;
      const start = fromStep === 0 ? 0 : Infinity;
      steps.push({
        ...{ seq, toStep: fromStep },
        toSeq: checkpointId === undefined ? start : (saves.get(checkpointId) ?? Infinity),
      });
    }
  for (let i = steps.length - 2; i >= 0; i--) {
    const [step, later] = [steps[i]!, steps[i + 1]!];
    step.toStep = Math.min(step.toStep, later.toStep);
    step.toSeq = Math.min(step.toSeq, later.toSeq);
  }
  return steps;
}

/** The index of the first segment after an event; the number of segments if none is. */
function firstAfter(steps: readonly StepBack[], seq: number): number {
  let [low, high] = [0, steps.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (steps[middle]!.seq > seq) high = middle;
    else low = middle + 1;
  }
  return low;
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
