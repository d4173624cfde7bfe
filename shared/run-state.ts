export const runIdPattern = /^[a-z0-9][a-z0-9_-]{2,63}$/;
/** The prefix of checkpoints that a person or a rule asked for; all others are automatic. */
export const askedCheckpointPrefix = 'saved-';

export const runStates = ['created', 'running', 'paused', 'finished', 'stopped', 'failed'] as const;
type State = (typeof runStates)[number];

export const endedStates: readonly State[] = ['finished', 'stopped', 'failed'];

export const hasEnded = (state: State): boolean => endedStates.includes(state);

/**
 * Whether a later segment supersedes an event: see `segment_started`.
 * @param segments in order
 */
export const isSuperseded = (
  segments: readonly { seq: number; fromStep: number }[] | undefined,
  { seq, step }: { seq: number; step: number },
) => segments?.some((segment) => seq < segment.seq && step > segment.fromStep) ?? false;

/** Whether the run still waits for its first trainer, so that nobody can be told to stop. */
export const hasNoTrainerYet = ({ state, trainerConnected }: { state: State; trainerConnected: boolean }): boolean =>
  state === 'created' && !trainerConnected;
