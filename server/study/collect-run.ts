import { recordOf } from '@plumbline/shared/record';
import { runsNamed } from '@plumbline/shared/branch-name';
import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import { describeSelection } from '@plumbline/shared/selection';
import { fromWireNumber, heldOutTaskOf, metrics } from '@plumbline/shared/metric';
import type { CommandRecord } from '@plumbline/shared/command';
import { changesNothing } from '@plumbline/shared/command-change';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import { eventsInForce, undoneCommands } from '@plumbline/shared/segments';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { Evaluation } from '../analysis/sequence-measures.js';
import type { StudyRun } from '../analysis/study-run.js';
import type { HubSession } from '../hub-api.js';
import type { PlannedRun } from './study-spec.js';

type Interventions = StudyRun['interventions'][number][];

/** What a report needs not, and of what there is most. */
const leftOut = /^drift\//;
/** What each run counts from its own start. */
const cumulative: readonly string[] = [
  metrics.energyJoules,
  metrics.energyJoulesLow,
  metrics.energyJoulesHigh,
  metrics.co2Grams,
];

/**
 * Reads a finished run and its ancestors from their hub as one course, from the base model to the end of the run. Each
 * ancestor counts up to the checkpoint that the next run starts from. Leaves out what a later segment has undone.
 */
export async function collectRun(hub: HubSession, planned: PlannedRun, runId: RunId): Promise<StudyRun> {
  const line = await lineage(hub, runId);
  const own = new Set(runsNamed(line, planned.config.name));
  const series = recordOf<{ steps: number[]; values: number[] }>();
  const evaluations: Evaluation[] = [];
  const interventions: Interventions = [];
  let baseline: Record<string, number> = {};
  for (const [index, run] of line.entries()) {
    const next = line[index + 1];
    const first = run.parent?.step ?? -1;
    const last = next?.parent?.step ?? Infinity;
    const isHere = (step: number): boolean => step > first && step <= last;
    const events = beforeLeaving((await hub.controlEvents(run.runId)).events, next);
    for (const event of eventsInForce(events)) {
      if (event.type === 'run_started')
        baseline = Object.fromEntries(
          Object.entries(event.baseline).map(([name, value]) => [name, fromWireNumber(value)]),
        );
      if (event.type !== 'evaluation_completed') continue;
      // What a parent's method evaluated beside its model is the parent's alone.
      if (event.weight !== null && planned.config.method.kind !== builtInConfig(run.description)?.method.kind) continue;
      // The base is evaluated anew by each part, with the same answers.
      if (event.stage === null ? index === 0 : isHere(event.step)) evaluations.push(event);
    }
    if (index > 0 && own.has(run) && !own.has(line[index - 1]!))
      interventions.push(...branchWords(run, events, planned));
    interventions.push(...interventionsOf(await hub.commands(run.runId), events, next));
    const history = await hub.history(run.runId);
    for (const [name, { steps, values }] of Object.entries(history.series)) {
      if (leftOut.test(name)) continue;
      const kept = (series[name] ??= { steps: [], values: [] });
      const before = cumulative.includes(name) ? (kept.values.findLast(Number.isFinite) ?? 0) : 0;
      steps.forEach((step, at) => {
        if (!isHere(step)) return;
        kept.steps.push(step);
        kept.values.push(before + fromWireNumber(values[at]!));
      });
    }
  }
  const { tasks, steps } = planned.config;
  const heldOut = Object.keys(baseline).flatMap((name) => heldOutTaskOf(name) ?? []);
  return {
    ...{ variant: planned.variant, seed: planned.seed, runId, tasks, stepsPerStage: steps },
    ...{ heldOut, evaluations, series, baseline, interventions },
  };
}

/** A run and the runs it comes from, eldest first. */
async function lineage(hub: HubSession, runId: RunId): Promise<RunSummary[]> {
  const line = [await hub.run(runId)];
  while (line[0]!.parent) line.unshift(await hub.run(line[0]!.parent.runId));
  return line;
}

const isCheckpointOf = (event: ControlEvent, next: RunSummary): boolean =>
  event.type === 'checkpoint_saved' && event.checkpointId === next.parent!.checkpointId;

/** The events of a run without the segments that began after the checkpoint that the next run starts from. */
function beforeLeaving(events: readonly ControlEvent[], next: RunSummary | undefined): readonly ControlEvent[] {
  const saved = next ? events.findLastIndex((event) => isCheckpointOf(event, next)) : -1;
  const later = saved < 0 ? -1 : events.findIndex(({ type }, i) => i > saved && type === 'segment_started');
  return later < 0 ? events : events.slice(0, later);
}

/** That a run left another planned run is an intervention. */
function branchWords(run: RunSummary, events: readonly ControlEvent[], { from }: PlannedRun): Interventions {
  const started = events.find((event) => event.type === 'run_started');
  if (!from || !started) return [];
  return [
    {
      step: from.step,
      author: 'study',
      what: `branched from ${from.variant}: trains ${describeSelection(started.selection)}, learning rate ${builtInConfig(run.description)?.learningRate}`,
    },
  ];
}

/**
 * What commands changed in a run's course, without those that a later segment has undone. If the course goes on in another
 * run, only commands before its checkpoint count, and the command that went back to it.
 * @param events as `beforeLeaving` returns them: commands applied later have no event in them
 */
function interventionsOf(
  commands: readonly CommandRecord[],
  events: readonly ControlEvent[],
  next: RunSummary | undefined,
): Interventions {
  const end = next ? events.findLastIndex((event) => isCheckpointOf(event, next)) : Infinity;
  const undone = undoneCommands(events);
  const isHere = ({ commandId }: CommandRecord): boolean => {
    const at = events.findIndex((event) => event.type === 'command_applied' && event.commandId === commandId);
    return at >= 0 && at < end && !undone.has(commandId);
  };
  return commands.flatMap((command): Interventions => {
    const { state, step, author, action, after } = command;
    if (state !== 'applied' || step === null || changesNothing(command)) return [];
    switch (action.kind) {
      case 'restore_checkpoint':
        if (!next || action.branchRunId !== next.runId) return [];
        return [{ step: next.parent!.step, author, what: `went back from step ${step} to ${action.checkpointId}` }];
      case 'set_trainable':
        return isHere(command) ? [{ step, author, what: `trains ${describeSelection(action.selection)}` }] : [];
      case 'set_learning_rate':
      case 'lower_learning_rate':
        return isHere(command) ? [{ step, author, what: `learning rate ${String(after?.['learning_rate'])}` }] : [];
      default:
        return [];
    }
  });
}
