import { isMeasured, targetAccuracy } from '@plumbline/shared/metric';
import { accuracyNoiseFloor, recovery } from '@plumbline/shared/recovery';
import { hasEnded, type RunSummary } from '@plumbline/shared/run';
import { targetNames, taskLabel } from '@plumbline/shared/run-tasks';
import type { RunDescription } from '@plumbline/shared/run-description';
import type { Stage } from '@plumbline/shared/stage';
import { points, type Finding, type MetricSeries } from './finding.js';

interface Probe {
  step: number;
  accuracy: number;
}

/**
 * The result of each target task of a run: learnt in its stage, lost in later stages, and recovered. A task that is taught
 * repeatedly is judged by its last stage that has begun. Percentage points: learning against the base model, loss and
 * recovery against the end of the stage (this project's `recovery`, besides the measures of arXiv 2510.08564). Tasks whose
 * stage has no probe yet are left out.
 *
 * @param series by metric name, as the store returns them
 * @param baseline the base model's values, by metric name
 * @param questionsPerTask number of questions per accuracy, for the noise floor
 * @param stages of the run; without stages, the whole run counts as one stage of each of its tasks
 */
export function targetFindings(
  series: ReadonlyMap<string, MetricSeries>,
  baseline: ReadonlyMap<string, number>,
  questionsPerTask: number,
  run: Pick<RunSummary, 'description' | 'state' | 'parent'>,
  stages: readonly Stage[],
): Finding[] {
  const ended = hasEnded(run.state);
  return targetNames(run.description, series.keys()).flatMap((task) => {
    const probes = probesOf(series.get(targetAccuracy(task)));
    const base = baseline.get(targetAccuracy(task));
    const last = probes.at(-1);
    if (base === undefined || !last) return [];
    const stage = lastStageOf(task, stages, last.step);
    if (!stage) return [];
    // A branch from after the stage starts with what its parent had learnt.
    const isTaught = (run.parent?.step ?? 0) >= stage.lastStep;
    const learned = isTaught ? probes[0]! : probes.findLast(({ step }) => step <= stage.lastStep);
    if (!learned || learned.step <= stage.firstStep) return [];
    const after = probes.filter(({ step }) => step > learned.step);
    const gain = learned.accuracy - base;
    const gainNoise = accuracyNoiseFloor(base, questionsPerTask);
    const label = taskLabel(run.description, task);
    const name = stages.length === 0 ? label : `${label} (stage ${stage.index + 1}${ofHowMany(run.description)})`;
    const isUnderWay = !ended && learned.step < stage.lastStep && after.length === 0;
    const found: Finding = {
      kind: 'target_task',
      step: learned.step,
      text: `${name} ${learnedWords(gain, gainNoise, learned.step, { isTaught, isUnderWay })}`,
      values: { learned: gain, noise: gainNoise },
    };
    if (after.length === 0) return [{ ...found, text: `${found.text}.` }];
    const noise = accuracyNoiseFloor(learned.accuracy, questionsPerTask);
    const back = recovery(
      after.map(({ accuracy }) => accuracy),
      learned.accuracy,
      'lower',
      noise,
    );
    if (!back) {
      const change = last.accuracy - learned.accuracy;
      const kept = `what came after took nothing beyond the noise (${noise.toFixed(1)}) from it${ended ? '' : ' so far'}`;
      return [{ ...found, text: `${found.text}; ${kept}.`, values: { ...found.values, end: change } }];
    }
    const worst = back.worst - learned.accuracy;
    const end = back.now - learned.accuracy;
    const { step } = after[back.worstIndex]!;
    const forgotten =
      `afterwards it was lowest at step ${step} (${points(worst)}, noise ${noise.toFixed(1)}) and ` +
      `${ended ? `ended at ${points(end)}` : `is at ${points(end)} so far`}: ${back.percent.toFixed(0)} % recovered`;
    const values = { ...found.values, forgottenNoise: noise, worst, end, recoveredPercent: back.percent };
    return [{ ...found, step, text: `${found.text}; ${forgotten}.`, values }];
  });
}

function learnedWords(
  gain: number,
  noise: number,
  step: number,
  { isTaught, isUnderWay }: { isTaught: boolean; isUnderWay: boolean },
): string {
  const against = `${points(gain)} against the base, noise ${noise.toFixed(1)}`;
  if (isTaught) return `was taught before this branch, which began with it at ${against}`;
  if (gain <= noise)
    return `${isUnderWay ? 'has' : 'had'} learned nothing beyond the noise by step ${step} (${against})`;
  return isUnderWay ? `has learned ${against}, so far (step ${step})` : `had learned ${against}, by step ${step}`;
}

/** Number of planned stages, if known. */
const ofHowMany = ({ stages }: Pick<RunDescription, 'stages'>): string =>
  stages.length > 0 ? ` of ${stages.length}` : '';

/** The last stage that teaches a task and had begun at a step. */
function lastStageOf(task: string, stages: readonly Stage[], step: number): Omit<Stage, 'task'> | undefined {
  if (stages.length === 0) return { index: 0, firstStep: 0, lastStep: Infinity };
  return stages.findLast((stage) => stage.task === task && stage.firstStep < step);
}

const probesOf = (series: MetricSeries | undefined): Probe[] =>
  series
    ? Array.from(series.steps, (step, index) => ({ step, accuracy: series.values[index]! })).filter(({ accuracy }) =>
        isMeasured(accuracy),
      )
    : [];
