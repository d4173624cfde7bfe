import { z } from 'zod';
import { boundedRecord } from './record.js';
import { eventBase } from './event-base.js';
import { Examples, isLargeEvent, TokenShift, type LargeEvent } from './large-event.js';
import {
  maxChangeNameLength,
  maxChanges,
  maxChangeTextLength,
  maxEvaluatedTasks,
  maxLineLength,
  maxMetricsPerEvent,
  maxParameters,
  maxQuestions,
  maxReasonLength,
  maxStep,
  maxWordLength,
} from './limits.js';
import { WireMetrics } from './metric.js';
import { ModelInfo, ParameterName, TrainableSelection } from './parameter.js';
import { CheckpointId, TrainerInfo, type RunSummary } from './run.js';
import { DescriptionChange, TaskName } from './run-description.js';
import { CommandId } from './command.js';
import { SeriesDeclaration } from './series.js';

const reason = z.string().min(1).max(maxReasonLength);
/** What a command changed, before and after, in a form a person can read. */
const change = boundedRecord(
  z.string().max(maxChangeNameLength),
  z.union([z.string().max(maxChangeTextLength), z.number(), z.boolean(), z.null()]),
  { entries: maxChanges, nameLength: maxChangeNameLength },
  'changes a command',
);

/** Names of the parameters that train. */
const trainable = z.array(ParameterName).max(maxParameters);

export const RunStarted = z.object({
  ...eventBase,
  type: z.literal('run_started'),
  trainer: TrainerInfo,
  model: ModelInfo,
  /** The base model's own probe values: what accuracy and bias are compared with. */
  baseline: WireMetrics,
  selection: TrainableSelection,
  trainable,
  /** Series that it declares at once; see `series_declared`. */
  series: z.array(SeriesDeclaration).max(maxMetricsPerEvent).optional(),
});
/** From here on events may carry values of these series. Declaring a name again replaces its label, unit and the rest. */
const SeriesDeclared = z.object({
  ...eventBase,
  type: z.literal('series_declared'),
  series: z.array(SeriesDeclaration).max(maxMetricsPerEvent),
});
const StepCompleted = z.object({
  ...eventBase,
  type: z.literal('step_completed'),
  stage: z.number().int().nonnegative().max(maxStep),
  metrics: WireMetrics,
});
const ProbeCompleted = z.object({
  ...eventBase,
  type: z.literal('probe_completed'),
  stage: z.number().int().nonnegative().max(maxStep),
  metrics: WireMetrics,
});
/** The optimizer starts afresh, and the learning rate's schedule with it. */
const StageStarted = z.object({
  ...eventBase,
  type: z.literal('stage_started'),
  stage: z.number().int().nonnegative().max(maxStep),
  task: TaskName,
  /** How many steps it takes; null: not known. */
  steps: z.number().int().positive().nullable().default(null),
});
/** The run is described anew: what is left out stays. */
const RunDescribed = z.object({ ...eventBase, type: z.literal('run_described'), ...DescriptionChange.shape });
/**
 * Every task was asked. Runs that ask the same questions in the same order can be compared answer by answer.
 */
const EvaluationCompleted = z.object({
  ...eventBase,
  type: z.literal('evaluation_completed'),
  /** The stage that has ended; null: the base model, before any training. */
  stage: z.number().int().nonnegative().max(maxStep).nullable(),
  /** WiSE-FT's share of the trained weights, the rest being the base's; null: the model as it is. */
  weight: z.number().min(0).max(1).nullable(),
  /** By task, a digit a question: 1 for a right answer, 0 for a wrong one. */
  right: boundedRecord(
    TaskName,
    z
      .string()
      .regex(/^[01]+$/, 'answers are digits 0 and 1')
      .max(maxQuestions, `answers are at most ${maxQuestions} digits`),
    { entries: maxEvaluatedTasks, nameLength: maxWordLength },
    'tasks an evaluation',
  ),
});
/**
 * A run that had ended, or was lost, goes on from a checkpoint, or from its start, under its id. It is the first event of
 * its segment, and its step is `fromStep`. Values of earlier segments behind that step are superseded: they stay stored
 * and exported, and are in no history, window or finding.
 */
const SegmentStarted = z.object({
  ...eventBase,
  type: z.literal('segment_started'),
  fromStep: z.number().int().nonnegative().max(maxStep),
  /** The checkpoint that it goes on from, where there is one. */
  checkpointId: CheckpointId.optional(),
});
const RunPaused = z.object({ ...eventBase, type: z.literal('run_paused'), reason: z.string().max(maxReasonLength) });
const RunResumed = z.object({ ...eventBase, type: z.literal('run_resumed') });
const CommandApplied = z.object({
  ...eventBase,
  type: z.literal('command_applied'),
  commandId: CommandId,
  before: change,
  after: change,
});
const CommandFailed = z.object({ ...eventBase, type: z.literal('command_failed'), commandId: CommandId, reason });
const TrainableChanged = z.object({
  ...eventBase,
  type: z.literal('trainable_changed'),
  selection: TrainableSelection,
  trainable,
});
const CheckpointSaved = z.object({
  ...eventBase,
  type: z.literal('checkpoint_saved'),
  checkpointId: CheckpointId,
  bytes: z.number().int().nonnegative(),
  digest: z.string().max(maxLineLength),
});
/** Its files are gone, to make room: it cannot be gone back to any more. */
const CheckpointRemoved = z.object({ ...eventBase, type: z.literal('checkpoint_removed'), checkpointId: CheckpointId });
const RunFinished = z.object({ ...eventBase, type: z.literal('run_finished') });
const RunStopped = z.object({ ...eventBase, type: z.literal('run_stopped'), reason: z.string().max(maxReasonLength) });
const RunFailed = z.object({ ...eventBase, type: z.literal('run_failed'), reason });

/**
 * All a trainer can say, past tense, with metrics by name, as it is stored, exported and sent to browsers; `WireEvent` is
 * how a trainer sends it. `run_finished`, `run_stopped` and `run_failed` are last words. */
export const TrainerEvent = z.discriminatedUnion('type', [
  RunStarted,
  SeriesDeclared,
  StepCompleted,
  ProbeCompleted,
  RunDescribed,
  StageStarted,
  EvaluationCompleted,
  TokenShift,
  Examples,
  SegmentStarted,
  RunPaused,
  RunResumed,
  CommandApplied,
  CommandFailed,
  TrainableChanged,
  CheckpointSaved,
  CheckpointRemoved,
  RunFinished,
  RunStopped,
  RunFailed,
]);
export type TrainerEvent = z.infer<typeof TrainerEvent>;
/** An event before the trainer's spool gives it its number. */
export type UnnumberedEvent = Unnumbered<TrainerEvent>;
export type Unnumbered<E> = E extends unknown ? Omit<E, 'seq'> : never;

/** Events that carry series. */
export type MetricEvent = Extract<TrainerEvent, { metrics: unknown }>;
/** Events that carry neither series nor much else: rare, sent on at once, listed in the timeline. */
export type ControlEvent = Exclude<TrainerEvent, MetricEvent | LargeEvent>;
export const isMetricEvent = (event: Pick<TrainerEvent, 'type'>): event is MetricEvent =>
  event.type === 'step_completed' || event.type === 'probe_completed';
export const isControlEvent = <E extends Pick<TrainerEvent, 'type'>>(
  event: E,
): event is Exclude<E, { type: MetricEvent['type'] | LargeEvent['type'] }> =>
  !isMetricEvent(event) && !isLargeEvent(event);

/** After one of these a trainer has nothing more to say about its run. */
export const isLastWord = ({ type }: Pick<TrainerEvent, 'type'>): boolean =>
  type === 'run_finished' || type === 'run_stopped' || type === 'run_failed';

/**
 * What is wrong with the order of events that follow on those stored of a run, in a sentence; null when nothing is: steps
 * do not go back but to where a segment begins, and a last word is the last. Of those that are stored already the steps are not looked at again, and a
 * gap is the store's to refuse: it knows where the sender has to go on.
 */
export function orderFault(
  { runId, lastSeq, lastStep }: Pick<RunSummary, 'runId' | 'lastSeq' | 'lastStep'>,
  events: readonly Pick<TrainerEvent, 'type' | 'seq' | 'step'>[],
): string | null {
  const follows = (event: Pick<TrainerEvent, 'type' | 'seq'>, index: number): boolean =>
    index < events.length - 1 && !(event.seq <= lastSeq && events[index + 1]!.type === 'segment_started');
  if (events.some((event, index) => isLastWord(event) && follows(event, index)))
    return 'An event follows the one that ends the run.';
  let [seq, step] = [lastSeq, lastStep];
  for (const event of events) {
    if (event.seq <= lastSeq) continue;
    if (event.seq !== ++seq) return null;
    if (event.type === 'segment_started') {
      const { fromStep } = event as Extract<TrainerEvent, { type: 'segment_started' }>;
      if (event.step !== fromStep)
        return `Event ${event.seq} of ${runId} is at step ${event.step}: a segment begins at its fromStep, ${fromStep}.`;
      if (fromStep > step)
        return `Event ${event.seq} of ${runId} begins a segment at step ${fromStep}, but the run came to step ${step} only.`;
    } else if (event.step < step)
      return (
        `Event ${event.seq} of ${runId} is at step ${event.step}, after step ${step}. Steps do not go back but with ` +
        'segment_started, where a run that has ended goes on; a branch is a run of its own.'
      );
    step = event.step;
  }
  return null;
}

export type EvaluationCompleted = Extract<ControlEvent, { type: 'evaluation_completed' }>;
export type CheckpointSaved = Extract<ControlEvent, { type: 'checkpoint_saved' }>;

/** Types of the events that `checkpointsOf` looks at. */
export const checkpointTypes = ['checkpoint_saved', 'checkpoint_removed'] as const satisfies ControlEvent['type'][];

/** The checkpoints that a run can go back to, in the order they were saved: each once, by its latest save. */
export function checkpointsOf(events: readonly ControlEvent[]): CheckpointSaved[] {
  const there = new Map<string, CheckpointSaved>();
  for (const event of events) {
    if (event.type === 'checkpoint_removed' || event.type === 'checkpoint_saved') there.delete(event.checkpointId);
    if (event.type === 'checkpoint_saved') there.set(event.checkpointId, event);
  }
  return [...there.values()];
}
