import { describeSelection } from '@plumbline/shared/parameter';
import { fromWireNumber } from '@plumbline/shared/metric';
import type { CommandRecord } from '@plumbline/shared/command';
import type { RunId, RunSummary } from '@plumbline/shared/run';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { Evaluation } from '../analysis/sequence-measures.js';
import type { StudyRun } from '../analysis/study-run.js';
import type { HubSession } from './hub-session.js';
import type { PlannedRun } from './study-spec.js';

/** What a report needs not, and of what there is most. */
const leftOut = /^drift\//;

/**
 * Reads a finished run from its hub, with what its parents hold of the steps before it: a run that died and was gone on
 * with, or that branched from another, is one course from the base model to its end.
 */
export async function collectRun(hub: HubSession, planned: PlannedRun, runId: RunId): Promise<StudyRun> {
  const line = await lineage(hub, runId);
  const series: Record<string, { steps: number[]; values: number[] }> = {};
  const evaluations: Evaluation[] = [];
  const interventions: StudyRun['interventions'][number][] = [];
  let baseline: Record<string, number> = {};
  for (const [index, run] of line.entries()) {
    const first = run.parent?.step ?? -1;
    const last = line[index + 1]?.parent?.step ?? Infinity;
    const isHere = (step: number): boolean => step > first && step <= last;
    const { events } = await hub.controlEvents(run.runId);
    for (const event of events) {
      if (event.type === 'run_started')
        baseline = Object.fromEntries(
          Object.entries(event.baseline).map(([name, value]) => [name, fromWireNumber(value)]),
        );
      // The base is evaluated anew by each part, with the same answers.
      if (event.type === 'evaluation_completed' && (event.stage === null ? index === 0 : isHere(event.step)))
        evaluations.push(event);
    }
    if (index > 0) interventions.push(...branchWords(run, events, planned));
    for (const command of await hub.commands(run.runId)) {
      const word = interventionOf(command);
      if (word && isHere(word.step)) interventions.push(word);
    }
    const history = await hub.history(run.runId);
    for (const [name, { steps, values }] of Object.entries(history.series)) {
      if (leftOut.test(name)) continue;
      const kept = (series[name] ??= { steps: [], values: [] });
      steps.forEach((step, at) => {
        if (!isHere(step)) return;
        kept.steps.push(step);
        kept.values.push(fromWireNumber(values[at]!));
      });
    }
  }
  const { tasks, steps } = planned.config;
  const heldOut = Object.keys(baseline).flatMap((name) => /^held_out\/(?!mean\/)(.+)\/accuracy$/.exec(name)?.[1] ?? []);
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

/** That a run left another is an intervention where it trains something else from there on. */
function branchWords(
  run: RunSummary,
  events: readonly ControlEvent[],
  { from }: PlannedRun,
): StudyRun['interventions'] {
  const started = events.find((event) => event.type === 'run_started');
  if (!from || !started || run.parent!.step !== from.step) return [];
  return [
    {
      step: from.step,
      author: 'study',
      what: `branched from ${from.variant}: trains ${describeSelection(started.selection)}, learning rate ${run.config.learningRate}`,
    },
  ];
}

function interventionOf({
  state,
  step,
  author,
  action,
  after,
}: CommandRecord): StudyRun['interventions'][number] | null {
  if (state !== 'applied' || step === null) return null;
  switch (action.kind) {
    case 'set_trainable':
      return { step, author, what: `trains ${describeSelection(action.selection)}` };
    case 'set_learning_rate':
      return { step, author, what: `learning rate ${String(after?.['learning_rate'] ?? action.learningRate)}` };
    case 'restore_checkpoint':
      return { step, author, what: `went back to ${action.checkpointId}` };
    default:
      return null;
  }
}
