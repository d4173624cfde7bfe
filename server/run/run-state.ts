import { hasEnded, type RunState, type RunSummary } from '@plumbline/shared/run';
import type { DescriptionChange, RunDescription } from '@plumbline/shared/run-description';
import type { ControlEvent } from '@plumbline/shared/trainer-event';

/** What moves a run from one state to another: words of its trainer, and what the hub itself sees. */
export type StateChange = ControlEvent['type'] | 'trainer_lost';

/** A run that has ended may go on as another segment. */
const goesOn = { segment_started: 'running' } as const;

const transitions: Record<RunState, Partial<Record<StateChange, RunState>>> = {
  created: {
    run_started: 'running',
    // Whatever a trainer left out before it, its last word is the last.
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

/** The state after a change; a change that means nothing in this state leaves it. */
export const nextState = (state: RunState, change: StateChange): RunState => transitions[state][change] ?? state;

/** The state a trainer's own words lead to, whatever the hub thought of its connection. */
export const stateFromEvents = (events: readonly ControlEvent[]): RunState =>
  events.reduce<RunState>((state, event) => nextState(state, event.type), 'created');

/** A run whose state is `failed` although its trainer never said a last word was lost, and may come back. */
export const wasLost = (state: RunState, events: readonly ControlEvent[]): boolean =>
  hasEnded(state) && !hasEnded(stateFromEvents(events));

/** A run's summary after a word of its trainer. */
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

/** A run's description after its trainer has changed it: what the change leaves out stays. */
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
