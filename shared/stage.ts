import type { RunDescription } from './run-description.js';
import type { ControlEvent } from './trainer-event.js';

type StageStarted = Extract<ControlEvent, { type: 'stage_started' }>;
/** Other events are passed over. */
type PerhapsStage = StageStarted | { type: Exclude<ControlEvent['type'], 'stage_started'> };

/** One stage of a run: steps in (firstStep, lastStep] train `task`. */
export interface Stage {
  /** From 0. */
  index: number;
  task: string;
  firstStep: number;
  /** Infinity if the end is unknown. */
  lastStep: number;
}

/** A run's stages as its description plans them, one after another from step 0. */
export function plannedStages({ stages }: Pick<RunDescription, 'stages'>): Stage[] {
  let firstStep = 0;
  return stages.map(({ task, steps }, index) => {
    const stage = { index, task, firstStep, lastStep: firstStep + steps };
    firstStep = stage.lastStep;
    return stage;
  });
}

/** The stages of a run, in order of steps: the planned ones, or else those announced by `stage_started`. */
export function stagesOf(description: Pick<RunDescription, 'stages'>, events: Iterable<PerhapsStage>): Stage[] {
  const planned = plannedStages(description);
  if (planned.length > 0) return planned;
  const begun: Stage[] = [];
  for (const event of events) {
    if (event.type !== 'stage_started') continue;
    const before = begun.at(-1);
    if (before) before.lastStep = Math.min(before.lastStep, event.step);
    begun.push({
      ...{ index: event.stage, task: event.task, firstStep: event.step },
      lastStep: event.steps === null ? Infinity : event.step + event.steps,
    });
  }
  return begun;
}

/** The stage of the step after `step`; past the last step, the last stage. Undefined without stages. */
export const stageAfter = (stages: readonly Stage[], step: number): Stage | undefined =>
  stages.find(({ lastStep }) => step < lastStep) ?? stages.at(-1);

/** The stage of a run that has completed `step` steps. */
export const stageAt = (stages: readonly Stage[], step: number): Stage | undefined =>
  stageAfter(stages, Math.max(0, step - 1));
