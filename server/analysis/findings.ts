import { fourDigits, heldOutTaskOf, isMeasured, metrics, weightDrift } from '@plumbline/shared/metric';
import { describeGroup } from '@plumbline/shared/selection';
import { recovery } from '@plumbline/shared/recovery';
import { hasEnded, type RunSummary } from '@plumbline/shared/run';
import { declaredIn, isLoss } from '@plumbline/shared/series-facts';
import { taskLabel } from '@plumbline/shared/run-tasks';
import { stagesOf } from '@plumbline/shared/stage';
import { energyFinding } from './energy-finding.js';
import { points, type Finding, type MetricSeries } from './finding.js';
import { interventionFindings } from './intervention-findings.js';
import type { CommandFacts, RunChange } from './run-change.js';
import { baselineOf, followedSeries, hasFinite, seriesDriftParts, seriesLabel } from './declared-series.js';
import { inSlices } from './slices.js';
import { targetFindings } from './target-findings.js';

/** Means of series over windows of steps, in place of series that are too long to hold. */
export interface Averages {
  everySteps: number;
  /** By metric name; a window's step is its first. */
  series: ReadonlyMap<string, MetricSeries>;
}

/** A sentence names at most this many groups. */
const mostMoved = 3;

/** Pearson correlation over the common steps of two series; NaN with fewer than three, or when one series is constant. */
export function correlation(a: MetricSeries, b: MetricSeries): number {
  const at = new Map<number, number>();
  for (let i = 0; i < b.steps.length; i++) at.set(b.steps[i]!, b.values[i]!);
  const pairs: [number, number][] = [];
  for (let i = 0; i < a.steps.length; i++) {
    const other = at.get(a.steps[i]!);
    if (other !== undefined && isMeasured(other) && isMeasured(a.values[i]!)) pairs.push([a.values[i]!, other]);
  }
  if (pairs.length < 3) return NaN;
  const meanA = pairs.reduce((sum, [x]) => sum + x, 0) / pairs.length;
  const meanB = pairs.reduce((sum, [, y]) => sum + y, 0) / pairs.length;
  let ab = 0;
  let aa = 0;
  let bb = 0;
  for (const [x, y] of pairs) {
    ab += (x - meanA) * (y - meanB);
    aa += (x - meanA) ** 2;
    bb += (y - meanB) ** 2;
  }
  return aa === 0 || bb === 0 ? NaN : ab / Math.sqrt(aa * bb);
}

/**
 * Says when a series was not finite, and whether it is finite again; null if it always was.
 * @param cameTo words for the last value
 */
function notFiniteWords(
  { steps, values, isThinned }: MetricSeries,
  cameTo: (value: string) => string,
): { step: number; text: string } | null {
  const bad = Array.from({ length: values.length }, (_, index) => index).filter((index) => !isMeasured(values[index]!));
  const [first, last] = [bad[0], bad.at(-1)];
  if (first === undefined || last === undefined) return null;
  const step = steps[first]!;
  const value = fourDigits(values[first]!);
  const end = cameTo(fourDigits(values[values.length - 1]!));
  const then = last === values.length - 1 ? `, and ${end}` : `; it is finite again and ${end}`;
  // Values that are missing cannot be counted.
  if (isThinned) return { step, text: `was ${value} at step ${step} for the first time${then}.` };
  if (first + bad.length === values.length) return { step, text: `became ${value} at step ${step}.` };
  const count = `${bad.length} of ${values.length} steps (${step} to ${steps[last]!})`;
  return {
    step,
    text: (bad.length === 1 ? `was ${value} at step ${step}` : `was not finite at ${count}`) + `${then}.`,
  };
}

/**
 * Explains the course of a run: losses that were not finite, the result of each target task, what dropped and when,
 * whether the drop correlates with bias drift, which other declared series got worse than the base model, which judged
 * ones did not and which cannot be judged, where the weights moved, what each intervention (a change of what is trained or
 * of the learning rate, going back to a checkpoint) changed, and the energy. Always in this order. Pure: the same series
 * give the same findings.
 *
 * @param series by metric name, as the store returns them
 * @param events the run's control events; `run_started` brings the base model's values
 * @param questionsPerTask number of questions per accuracy, for the noise floor
 * @param run its description, with its tasks and their labels; while it goes on, sentences say "so far"
 * @param commands the run's audit log, which tells the changes by rules from others
 * @param averages for a run with thinned series: correlations and slopes use these, because extremes alone mislead
 * @param declared the series that the events declare
 */
export const findings = (...of: Parameters<typeof findingParts>): Finding[] => [...findingParts(...of)].flat();

/**
 * As `findings`, in short parts, between which the caller may yield the event loop. Parts may be empty. The series must not
 * change in between.
 */
export function* findingParts(
  series: ReadonlyMap<string, MetricSeries>,
  events: readonly RunChange[],
  questionsPerTask: number,
  run: Pick<RunSummary, 'description' | 'state' | 'parent'>,
  commands: readonly CommandFacts[] = [],
  averages?: Averages,
  declared = declaredIn(events),
): Generator<Finding[]> {
  const atTheEnd = hasEnded(run.state) ? 'at the end' : 'so far';
  const cameTo = (value: string): string => (hasEnded(run.state) ? `ended at ${value}` : `is at ${value} so far`);
  const baseline = baselineOf(events);
  /** Without a noise floor drift cannot be told from noise: then no finding is made. */
  const noiseOf = (name: string): number | undefined => declared.get(name)?.noiseFloor;

  /** Names of held-out accuracies. */
  const tasks: string[] = [];
  /** The groups whose weights moved most, most first. */
  const most: { group: string; step: number; drift: number }[] = [];
  for (const part of inSlices(series)) {
    const diverged: Finding[] = [];
    for (const [name, course] of part) {
      const { steps, values } = course;
      if (heldOutTaskOf(name) !== undefined) tasks.push(name);
      const [step, drift] = [steps[steps.length - 1], values[values.length - 1]];
      if (name.startsWith(weightDrift('')) && step !== undefined && drift !== undefined && drift > 0) {
        most.push({ group: name.slice(weightDrift('').length), step, drift });
        most.sort((a, b) => b.drift - a.drift).splice(mostMoved);
      }
      const facts = declared.get(name) ?? { name };
      if (!isLoss(facts)) continue;
      const what = name === metrics.loss ? 'The loss' : seriesLabel(facts);
      const words = notFiniteWords(course, cameTo);
      if (words) diverged.push({ kind: 'diverged', step: words.step, text: `${what} ${words.text}`, values: {} });
    }
    yield diverged;
  }

  const stages = stagesOf(run.description, events);
  yield targetFindings(series, baseline, questionsPerTask, run, stages);

  const found: Finding[] = [];
  /** Labels of known series that are judged and did not get worse. */
  const unharmed: string[] = [];
  const heldOut = series.get(metrics.heldOutMean);
  const heldOutBase = baseline.get(metrics.heldOutMean);
  const heldOutNoise = noiseOf(metrics.heldOutMean);
  if (heldOut && heldOutBase !== undefined && heldOutNoise !== undefined) {
    const noise = heldOutNoise;
    const back = recovery(heldOut.values, heldOutBase, 'lower', noise);
    if (!back && hasFinite(heldOut)) unharmed.push('held-out accuracy');
    if (back) {
      const step = heldOut.steps[back.worstIndex]!;
      const drops = tasks
        .flatMap((name) => {
          const { values } = series.get(name)!;
          const base = baseline.get(name);
          const last = values[values.length - 1];
          return base === undefined || last === undefined
            ? []
            : [{ task: taskLabel(run.description, heldOutTaskOf(name)!, 'held_out'), change: last - base }];
        })
        .sort((a, b) => a.change - b.change);
      const worst = drops[0] ? `; the worst task ${atTheEnd} is ${drops[0].task} (${points(drops[0].change)})` : '';
      found.push({
        kind: 'held_out_drop',
        step,
        text:
          `Held-out accuracy was lowest at step ${step} (${points(back.worst - heldOutBase)} against the base, noise ` +
          `${noise.toFixed(1)}) and ${cameTo(points(back.now - heldOutBase))}: ${back.percent.toFixed(0)} % recovered${worst}.`,
        values: { worst: back.worst - heldOutBase, end: back.now - heldOutBase, recoveredPercent: back.percent, noise },
      });
    }
  }

  const bias = series.get(metrics.numberTokensHeldOut);
  const biasBase = baseline.get(metrics.numberTokensHeldOut);
  const biasNoise = noiseOf(metrics.numberTokensHeldOut);
  if (bias && biasBase !== undefined && biasNoise !== undefined) {
    const noise = biasNoise;
    const back = recovery(bias.values, biasBase, 'higher', noise);
    if (!back && hasFinite(bias)) unharmed.push('number-token bias');
    if (back) {
      const step = bias.steps[back.worstIndex]!;
      found.push({
        kind: 'bias_drift',
        step,
        text:
          `Number tokens took ${(back.worst * 100).toFixed(1)} % of the probability on held-out prompts at step ${step} ` +
          `(base ${(biasBase * 100).toFixed(1)} %, noise ${(noise * 100).toFixed(1)}) and ${(back.now * 100).toFixed(1)} % ` +
          `${hasEnded(run.state) ? 'at the end' : 'now'}: ${back.percent.toFixed(0)} % recovered.`,
        values: { worst: back.worst, end: back.now, base: biasBase, recoveredPercent: back.percent, noise },
      });
    }
    if (back && heldOut) {
      const averageOf = (name: string): MetricSeries | undefined => averages?.series.get(name);
      const r = correlation(averageOf(metrics.heldOutMean) ?? heldOut, averageOf(metrics.numberTokensHeldOut) ?? bias);
      const over = averages ? `means of ${averages.everySteps} steps` : 'the probes';
      if (Number.isFinite(r)) {
        const word = r < -0.7 ? 'went with' : r < -0.3 ? 'went partly with' : 'did not go with';
        found.push({
          kind: 'drop_follows_bias',
          step: bias.steps[back.worstIndex]!,
          text: `The held-out drop ${word} number-token bias (correlation ${r.toFixed(2)} over ${over}).`,
          values: { correlation: r },
        });
      }
    }
  }

  const kl = series.get(metrics.kl);
  const klNoise = noiseOf(metrics.kl);
  if (kl && klNoise !== undefined) {
    const noise = klNoise;
    const back = recovery(kl.values, 0, 'higher', noise);
    if (!back && hasFinite(kl)) unharmed.push('KL divergence');
    if (back) {
      const step = kl.steps[back.worstIndex]!;
      found.push({
        kind: 'output_shift',
        step,
        text:
          `The output distribution was furthest from the base model's at step ${step} (KL ${back.worst.toFixed(3)} nats, ` +
          `noise ${noise}) and ${cameTo(back.now.toFixed(3))}: ${back.percent.toFixed(0)} % recovered.`,
        values: { worst: back.worst, end: back.now, recoveredPercent: back.percent, noise },
      });
    }
  }

  yield found;

  yield* seriesDriftParts(series, declared, baseline, run, unharmed);

  if (most.length > 0) {
    const places = placesOf(
      events,
      most.map(({ group }) => group),
    );
    const moved = most.map(({ group, drift }) => `${places.get(group) ?? group} (${(drift * 100).toFixed(1)} %)`);
    const text = `Weights moved most in ${moved.join(', ')}.`;
    const values = Object.fromEntries(most.map(({ group, drift }) => [group, drift]));
    yield [{ kind: 'weight_drift', step: most[0]!.step, text, values }];
  }

  const followed = followedSeries(declared.values(), series, run.description).map((measure) => ({
    ...measure,
    course: averages?.series.get(measure.name) ?? series.get(measure.name)!,
  }));
  yield [];
  yield interventionFindings(followed, events, commands, stages);
  const firstStep = events.find(({ type }) => type === 'run_started')?.step ?? 0;
  const energy = energyFinding(series, firstStep, hasEnded(run.state));
  if (energy) yield [energy];
}

/** Where groups of parameters are, in words, by their names. */
function placesOf(events: readonly RunChange[], names: readonly string[]): Map<string, string> {
  const places = new Map<string, string>();
  for (const event of events)
    if (event.type === 'run_started')
      for (const group of event.model.groups)
        if (names.includes(group.name)) places.set(group.name, describeGroup(group));
  return places;
}
