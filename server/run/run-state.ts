import { hasEnded, type RunState, type RunSummary } from '@plumbline/shared/run';
import type { DescriptionChange, RunDescription } from '@plumbline/shared/run-description';
import type { ControlEvent } from '@plumbline/shared/trainer-event';

/** Types of the events that change a run's summary; see `afterEvent`. */
export const summaryTypes = [
  ...(['run_started', 'run_described', 'run_paused', 'run_resumed', 'segment_started'] as const),
  ...(['run_finished', 'run_stopped', 'run_failed'] as const),
] as const satisfies readonly ControlEvent['type'][];

/** The triggers of state changes: events of the trainer, and observations of the hub. */
export type StateChange = ControlEvent['type'] | 'trainer_lost';

/** An ended run may continue as another segment. */
const goesOn = { segment_started: 'running' } as const;

const transitions: Record<RunState, Partial<Record<StateChange, RunState>>> = {
  created: {
    run_started: 'running',
    // A last word counts in every state, even if earlier events are missing.
    run_finished: 'finished',
    run_stopped: 'stopped',
    run_failed: 'failed',
    trainer_lost: 'failed',
  },
  running: {
    run_paused: 'paused',
    run_finished: 'finished',
    run_stopped: 'stopped',
    run_failed: 'failed',
    trainer_lost: 'failed',
  },
  paused: {
    run_resumed: 'running',
    segment_started: 'running',
    run_finished: 'finished',
    run_stopped: 'stopped',
    run_failed: 'failed',
    trainer_lost: 'failed',
  },
  finished: goesOn,
  stopped: goesOn,
  failed: goesOn,
};

/** The state after a trigger; an irrelevant trigger leaves it unchanged. */
export const nextState = (state: RunState, change: StateChange): RunState => transitions[state][change] ?? state;

/**
 * The state by the trainer's own events, whatever the hub assumed about its connection.
 * @param events all of the run's `summaryTypes`, ascending by seq
 */
export const stateFromEvents = (events: readonly ControlEvent[]): RunState =>
  events.reduce<RunState>((state, event) => nextState(state, event.type), 'created');

/** Whether a run was lost: it is `failed` without a last word of its trainer, so that it may come back. */
export const wasLost = (state: RunState, events: readonly ControlEvent[]): boolean =>
  hasEnded(state) && !hasEnded(stateFromEvents(events));

/** The summary of a run after an event of its trainer. */
export function afterEvent(run: RunSummary, event: ControlEvent): RunSummary {
  const state = nextState(run.state, event.type);
  const reason = 'reason' in event && event.type !== 'command_failed' ? event.reason : run.reason;
  switch (event.type) {
    case 'run_started':
      return { ...run, state, trainer: event.trainer, startedMs: run.startedMs ?? event.wallTimeMs, reason: '' };
    case 'run_described':
      return { ...run, state, description: described(run.description, event) };
    case 'run_resumed':
      return { ...run, state, reason: '' };
    case 'segment_started': {
      const { seq, fromStep } = event;
      const before = (run.segments ?? []).filter((segment) => segment.seq < seq);
      return { ...run, state, reason: '', endedMs: null, segments: [...before, { seq, fromStep }] };
    }
    case 'run_finished':
    case 'run_stopped':
    case 'run_failed':
      return { ...run, state, reason, endedMs: event.wallTimeMs };
    default:
      return { ...run, state, reason };
  }
}

/** The description of a run after a change; absent fields stay as they are. */
function described(
  description: RunDescription,
  {
    name = description.name,
    tags = description.tags,
    notes = description.notes,
    totalSteps = description.totalSteps,
    stages = description.stages,
  }: DescriptionChange,
): RunDescription {
  return { ...description, name, tags, notes, totalSteps, stages };
}
