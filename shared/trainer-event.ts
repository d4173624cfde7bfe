import { z } from 'zod';
import { boundedRecord } from './bounded-record.js';
import { eventBase } from './event-base.js';
import { Examples, TokenShift, type LargeEvent } from './large-event.js';
import { isLargeEvent } from './large-event-notice.js';
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
/** The values before or after a command, for people. */
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
  /** The base model's own probe values, to compare with. */
  baseline: WireMetrics,
  selection: TrainableSelection,
  trainable,
  /** The first declarations; see `series_declared`. */
  series: z.array(SeriesDeclaration).max(maxMetricsPerEvent).optional(),
});
/** Declares series before their first values. Declaring a name again replaces its label, unit and other fields. */
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
  /** The number of its steps; null: unknown. */
  steps: z.number().int().positive().nullable().default(null),
});
/** Changes the description; absent fields stay as they are. */
const RunDescribed = z.object({ ...eventBase, type: z.literal('run_described'), ...DescriptionChange.shape });
/**
 * The answers to all questions of every task. Runs with the same questions in the same order can be compared by answer.
 */
const EvaluationCompleted = z.object({
  ...eventBase,
  type: z.literal('evaluation_completed'),
  /** The stage that has ended; null: the base model, before any training. */
  stage: z.number().int().nonnegative().max(maxStep).nullable(),
  /** WiSE-FT's share of the trained weights in the blend with the base's; null: the model as it is. */
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
 * Continues an ended or lost run under its id, from a checkpoint or from its start. It is the first event of its segment,
 * at step `fromStep`. It supersedes all earlier values after that step: they stay stored and exported, but appear in no
 * history, window or finding.
 */
const SegmentStarted = z.object({
  ...eventBase,
  type: z.literal('segment_started'),
  fromStep: z.number().int().nonnegative().max(maxStep),
  /** The checkpoint that it continues from, if any. */
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
/** Its files were deleted to free space, so that it can no longer be restored. */
const CheckpointRemoved = z.object({ ...eventBase, type: z.literal('checkpoint_removed'), checkpointId: CheckpointId });
const RunFinished = z.object({ ...eventBase, type: z.literal('run_finished') });
const RunStopped = z.object({ ...eventBase, type: z.literal('run_stopped'), reason: z.string().max(maxReasonLength) });
const RunFailed = z.object({ ...eventBase, type: z.literal('run_failed'), reason });

/**
 * All events of a trainer, with metrics by name, as stored, exported and sent to browsers. On the wire an event is a
 * `WireEvent`. `run_finished`, `run_stopped` and `run_failed` are last words.
 */
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
/** Small, rare events without series: the hub sends them at once, and the timeline lists them. */
export type ControlEvent = Exclude<TrainerEvent, MetricEvent | LargeEvent>;
export const isMetricEvent = (event: Pick<TrainerEvent, 'type'>): event is MetricEvent =>
  event.type === 'step_completed' || event.type === 'probe_completed';
export const isControlEvent = <E extends Pick<TrainerEvent, 'type'>>(
  event: E,
): event is Exclude<E, { type: MetricEvent['type'] | LargeEvent['type'] }> =>
  !isMetricEvent(event) && !isLargeEvent(event);

/** Whether an event ends its run: no other event may follow. */
export const isLastWord = ({ type }: Pick<TrainerEvent, 'type'>): boolean =>
  type === 'run_finished' || type === 'run_stopped' || type === 'run_failed';

/**
 * The first fault in the order of new events of a run, as a sentence; null if there is none. Steps go back only where a
 * segment begins, and nothing follows a last word. It skips the steps of events that are already stored. The store refuses
 * gaps, because it knows where the sender must continue.
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
