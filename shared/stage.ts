import type { RunDescription } from './run-description.js';
import type { ControlEvent } from './trainer-event.js';

/** One stage of a run: steps in (firstStep, lastStep] train `task`. */
export interface Stage {
  /** From 0. */
  index: number;
  task: string;
  firstStep: number;
  /** Infinity where the stage's end is not known. */
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

/** The stages of a run: those that its description plans, or else those that it said had started. In order of steps. */
export function stagesOf(description: Pick<RunDescription, 'stages'>, events: Iterable<ControlEvent>): Stage[] {
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

/** The stage in which the step after `step` is taken; past the last step, the last stage. Undefined where there are none. */
export const stageAfter = (stages: readonly Stage[], step: number): Stage | undefined =>
  stages.find(({ lastStep }) => step < lastStep) ?? stages.at(-1);

/** The stage that a run with so many steps behind it is in. */
export const stageAt = (stages: readonly Stage[], step: number): Stage | undefined =>
  stageAfter(stages, Math.max(0, step - 1));
