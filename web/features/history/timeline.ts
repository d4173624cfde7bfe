import type { CommandRecord, CommandState } from '@plumbline/shared/command';
import { changesNothing, settingKinds } from '@plumbline/shared/command-change';
import type { ControlEvent, EvaluationCompleted } from '@plumbline/shared/trainer-event';
import type { ChartMark } from '../../charts/chart-types';
import { askedCheckpointPrefix, hasEnded, type RunSummary } from '@plumbline/shared/run';
import { taskLabel } from '@plumbline/shared/run-tasks';
import type { DescriptionChange, RunDescription } from '@plumbline/shared/run-description';
import type { RunPast } from '../../lib/run-past';
import { splitReason } from '../../lib/reason';
import type { ModelRecipe } from '@plumbline/shared/parameter';
import { formatStep } from '../../charts/format';
import { actionWords, changeWords, selectionWords, stateWords } from '../../lib/words';

/** The kind of an entry, which names its filter. Rules act by commands, and an evaluation belongs to a stage. */
export const entryKinds = ['command', 'stage', 'checkpoint', 'run'] as const;
export type EntryKind = (typeof entryKinds)[number];

/** One entry of a run's history: a command from receipt to end, or an event of the trainer. */
export interface TimelineEntry {
  id: string;
  kind: EntryKind;
  /** Whether an automatic checkpoint was saved or removed. */
  automatic?: 'saved' | 'removed';
  wallTimeMs: number;
  step: number | null;
  title: string;
  /** Before → after, or a reason. */
  details: string[];
  /** The values that triggered a rule; empty for a person's command. */
  cause: string;
  /** A command's state; `event` for an event of the trainer. */
  state: CommandState | 'event' | 'event_failed';
  author: string;
}

/** Commands that change what the optimizer does stand out on charts. */
const changing = new Set<string>([...settingKinds, 'restore_checkpoint']);

function entryOfCommand(record: CommandRecord, recipes: readonly ModelRecipe[]): TimelineEntry {
  return {
    id: record.commandId,
    kind: 'command',
    wallTimeMs: record.receivedMs,
    step: record.step,
    title: actionWords(record.action, recipes),
    details: detailsOf(record, recipes),
    cause: record.cause ?? '',
    state: record.state,
    author: record.author,
  };
}

function detailsOf(record: CommandRecord, recipes: readonly ModelRecipe[]): string[] {
  if (record.state !== 'applied') return record.reason ? [record.reason] : [];
  return changesNothing(record) ? ['nothing changed'] : changeWords(record, recipes);
}

type Tasks = Pick<RunDescription, 'tasks'>;

function entryOfEvent(event: ControlEvent, tasks: Tasks): TimelineEntry | null {
  const entry = (
    kind: EntryKind,
    title: string,
    details: string[] = [],
    state: TimelineEntry['state'] = 'event',
  ): TimelineEntry => ({
    id: `event-${event.seq}`,
    kind,
    wallTimeMs: event.wallTimeMs,
    step: event.step,
    title,
    details: details.filter((detail) => detail !== ''),
    cause: '',
    state,
    author: 'trainer',
  });
  switch (event.type) {
    case 'run_started':
      return entry('run', 'Started', [
        `trains ${selectionWords(event.selection, event.model.recipes)}`,
        `${event.trainer.backend} on ${event.trainer.device}`,
      ]);
    case 'checkpoint_saved':
      return {
        ...entry('checkpoint', 'Checkpoint saved', [`${event.checkpointId}, ${(event.bytes / 1e6).toFixed(1)} MB`]),
        ...(!event.checkpointId.startsWith(askedCheckpointPrefix) && { automatic: 'saved' }),
      };
    case 'stage_started':
      return entry('stage', stageTitle(event, tasks), event.steps === null ? [] : [`${formatStep(event.steps)} steps`]);
    case 'run_described':
      return entry('run', 'Described anew', descriptionChangeWords(event));
    case 'evaluation_completed':
      return entry('stage', evaluationTitle(event), [
        `${Object.keys(event.right).length} tasks, ${Object.values(event.right)[0]?.length ?? 0} questions each`,
      ]);
    case 'segment_started':
      return entry('run', 'Continued in a new segment', [
        `from ${event.checkpointId ?? `step ${event.fromStep}`}; what came after that step before is superseded`,
      ]);
    case 'run_finished':
      return entry('run', 'Finished');
    case 'run_stopped':
      return entry('run', 'Stopped', [event.reason]);
    case 'run_failed':
      return entry('run', 'Failed', [event.reason], 'event_failed');
    case 'checkpoint_removed':
      return {
        ...entry('checkpoint', 'Checkpoint removed', [`${event.checkpointId}, to make room for later ones`]),
        automatic: 'removed',
      };
    // The page shows the series, and the commands that caused the other events have entries of their own.
    case 'series_declared':
    case 'run_paused':
    case 'run_resumed':
    case 'trainable_changed':
    case 'command_applied':
    case 'command_failed':
      return null;
  }
}

function evaluationTitle({ stage, weight }: EvaluationCompleted): string {
  if (stage === null) return 'Evaluated the base model';
  return weight === null ? `Evaluated after stage ${stage + 1}` : `Evaluated at WiSE-FT weight ${weight}`;
}

const lastWords: readonly string[] = ['run_finished', 'run_stopped', 'run_failed'];

/** The end of a run whose trainer died before it could report it, with the hub's reason. */
function untoldEnd(run: RunSummary, events: readonly ControlEvent[]): TimelineEntry[] {
  if (!hasEnded(run.state) || events.some(({ type }) => lastWords.includes(type))) return [];
  return [
    {
      id: `end of ${run.runId}`,
      kind: 'run',
      wallTimeMs: run.endedMs ?? events.at(-1)?.wallTimeMs ?? run.createdMs,
      step: run.lastStep,
      title: stateWords[run.state],
      details: run.reason === '' ? [] : [splitReason(run.reason).headline],
      cause: '',
      state: run.state === 'failed' ? 'event_failed' : 'event',
      author: 'hub',
    },
  ];
}

/** The entries, newest first, with pending commands on top. */
export function timeline(
  commands: Iterable<CommandRecord>,
  events: readonly ControlEvent[],
  run: RunSummary | null,
): TimelineEntry[] {
  const recipes = events.flatMap((event) => (event.type === 'run_started' ? event.model.recipes : []));
  const entries = [...commands].map((record) => entryOfCommand(record, recipes));
  for (const event of events) {
    const entry = entryOfEvent(event, run?.description ?? { tasks: [] });
    if (entry) entries.push(entry);
  }
  if (run) entries.push(...untoldEnd(run, events));
  const pendingFirst = (entry: TimelineEntry): number => (entry.state === 'pending' ? 0 : 1);
  return entries.sort((a, b) => pendingFirst(a) - pendingFirst(b) || b.wallTimeMs - a.wallTimeMs);
}

/**
 * The steps at which commands took effect, as marks on charts, oldest first. A command that changed nothing has no mark.
 * @param recipes of the model, for their labels
 */
export function chartMarks(commands: Iterable<CommandRecord>, recipes: readonly ModelRecipe[] = []): ChartMark[] {
  return [...commands]
    .flatMap((record): ChartMark[] => {
      if (record.state !== 'applied' || record.step === null || changesNothing(record)) return [];
      const label = [actionWords(record.action, recipes), ...changeWords(record, recipes).slice(0, 1)].join(' · ');
      return [
        { id: record.commandId, step: record.step, label, kind: changing.has(record.action.kind) ? 'change' : 'quiet' },
      ];
    })
    .sort((a, b) => a.step - b.step);
}

const stageTitle = ({ stage, task }: Extract<ControlEvent, { type: 'stage_started' }>, tasks: Tasks): string =>
  `Stage ${stage + 1}: ${taskLabel(tasks, task)}`;

/** A change of the run's description by its trainer. */
function descriptionChangeWords({ name, tags, notes, totalSteps, stages }: DescriptionChange): string[] {
  return [
    name !== undefined && `name ${name}`,
    tags !== undefined && (tags.length > 0 ? `tags ${tags.join(', ')}` : 'no tags'),
    notes !== undefined && 'notes',
    totalSteps !== undefined && (totalSteps === null ? 'steps not known' : `${formatStep(totalSteps)} steps in all`),
    stages !== undefined && `${stages.length} stages`,
  ].filter((words) => words !== false);
}

/** Marks the starts of stages after the first. */
export function stageMarks(events: readonly ControlEvent[], tasks: Tasks): ChartMark[] {
  return events.flatMap((event): ChartMark[] =>
    event.type === 'stage_started' && event.stage > 0
      ? [{ id: `stage-${event.seq}`, step: event.step, label: stageTitle(event, tasks), kind: 'stage' }]
      : [],
  );
}

/** Marks the branch points of a run and the changes before it began. */
export function lineageMarks(
  { parent }: RunSummary,
  past: RunPast | null,
  branches: readonly RunSummary[],
): ChartMark[] {
  const marks: ChartMark[] = [];
  for (const { run, event } of past?.stages ?? [])
    for (const mark of stageMarks([event], run.description))
      marks.push({ ...mark, id: `${run.runId} ${mark.id}`, label: `${run.description.name}: ${mark.label}` });
  for (const { run, record } of past?.commands ?? [])
    for (const mark of chartMarks([record])) marks.push({ ...mark, label: `${run.description.name}: ${mark.label}` });
  for (const [index, ancestor] of (past?.ancestors ?? []).entries()) {
    const step = index === 0 ? parent!.step : past!.ancestors[index - 1]!.parent!.step;
    marks.push({
      id: `from ${ancestor.runId}`,
      step,
      kind: 'branch',
      label: `branched from ${ancestor.description.name}`,
    });
  }
  for (const branch of branches)
    marks.push({
      id: `to ${branch.runId}`,
      step: branch.parent!.step,
      kind: 'branch',
      label: `${branch.description.name} (${branch.runId}) branched off`,
    });
  return marks;
}
