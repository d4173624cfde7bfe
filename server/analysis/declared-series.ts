import {
  fromWireNumber,
  heldOutAccuracy,
  heldOutTaskOf,
  isMeasured,
  measuredWords,
  metrics,
  targetAccuracy,
} from '@plumbline/shared/metric';
import { recovery } from '@plumbline/shared/recovery';
import { hasEnded, type RunSummary } from '@plumbline/shared/run';
import { targetNames, taskLabel, tasksOfKind } from '@plumbline/shared/run-tasks';
import type { RunDescription } from '@plumbline/shared/run-description';
import { declaredIn, isLoss } from '@plumbline/shared/series-facts';
import type { SeriesFacts } from '@plumbline/shared/series';
import type { Finding, MetricSeries } from './finding.js';
import type { RunChange } from './run-change.js';
import { inSlices } from './slices.js';

/*
 * Findings about series that a trainer declares under its own names. They use the declared direction, noise floor, label
 * and unit, and the base model's value.
 */

type Declared = ReadonlyMap<string, SeriesFacts>;
type SeriesByName = ReadonlyMap<string, MetricSeries>;
type Baseline = ReadonlyMap<string, number>;

/** A series in sentences: its label, else its name. */
export const seriesLabel = ({ name, label }: Pick<SeriesFacts, 'name' | 'label'>): string => label ?? name;

/** The base model's values by the names of their series. */
export function baselineOf(events: readonly RunChange[]): Map<string, number> {
  const baseline = new Map<string, number>();
  for (const event of events)
    if (event.type === 'run_started')
      // `Object.entries` of 50,000 values would take 50 ms in one go.
      for (const name of Object.keys(event.baseline)) baseline.set(name, fromWireNumber(event.baseline[name]!));
  return baseline;
}

const labelOf = (facts: SeriesFacts, description: RunDescription): string => {
  const task = heldOutTaskOf(facts.name);
  return facts.label ?? (task === undefined ? facts.name : `${taskLabel(description, task, 'held_out')} accuracy`);
};

/** Whether drift of a series can be told from noise: it has values, and a base value and a noise floor to judge them by. */
const isJudged = (name: string, series: SeriesByName, declared: Declared, baseline: Baseline): boolean =>
  series.has(name) && baseline.has(name) && declared.get(name)?.noiseFloor !== undefined;

/**
 * Each declared series that got worse than the base model by more than its noise floor, and sentences that name those
 * that did not and those that cannot be judged. Left out are series that other findings cover: the known ones, target
 * tasks, and the held-out tasks of a run with a mean over them. In short parts, between which the caller may yield the
 * event loop.
 * @param unharmedKnown labels of known series that did not get worse, for the sentence
 */
export function* seriesDriftParts(
  series: SeriesByName,
  declared: Declared,
  baseline: Baseline,
  run: Pick<RunSummary, 'description' | 'state'>,
  unharmedKnown: readonly string[] = [],
): Generator<Finding[]> {
  const unharmed = [...unharmedKnown];
  const covered = new Set<string>([
    ...[metrics.heldOutMean, metrics.numberTokensHeldOut, metrics.kl, metrics.js],
    ...targetNames(run.description, series.keys()).map(targetAccuracy),
  ]);
  const hasMean = isJudged(metrics.heldOutMean, series, declared, baseline);
  const driftsOf = (facts: SeriesFacts): Finding[] => {
    const { name, better, noiseFloor, unit } = facts;
    const [measured, base] = [series.get(name), baseline.get(name)];
    if (covered.has(name) || (hasMean && heldOutTaskOf(name) !== undefined)) return [];
    if (!measured || base === undefined || better === undefined || noiseFloor === undefined) return [];
    const back = recovery(measured.values, base, better === 'higher' ? 'lower' : 'higher', noiseFloor);
    if (!back) {
      if (hasFinite(measured)) unharmed.push(labelOf(facts, run.description));
      return [];
    }
    const step = measured.steps[back.worstIndex]!;
    const words = (value: number): string => measuredWords(value, unit);
    const text =
      `${labelOf(facts, run.description)} was ${better === 'higher' ? 'lowest' : 'highest'} at step ${step} ` +
      `(${words(back.worst)}, base ${words(base)}, noise ${measuredWords(noiseFloor, unit, true)}) and ` +
      `${hasEnded(run.state) ? `ended at ${words(back.now)}` : `is at ${words(back.now)} so far`}: ` +
      `${back.percent.toFixed(0)} % recovered.`;
    const values = { worst: back.worst, end: back.now, base, recoveredPercent: back.percent, noise: noiseFloor };
    return [{ kind: 'series_drift', step, text, values }];
  };
  const unjudged: string[] = [];
  for (const slice of inSlices(declared.values())) {
    unjudged.push(...slice.flatMap((facts) => unjudgedWords(facts, series, baseline, run.description)));
    yield [];
    yield slice.flatMap(driftsOf);
  }
  const step = lastStepOf(series.values());
  const judged = `No harm beyond the noise: ${someOf(unharmed)}.`;
  if (unharmed.length > 0) yield [{ kind: 'no_harm', step, text: judged, values: {} }];
  const text = `Not judged: ${someOf(unjudged)}.`;
  if (unjudged.length > 0) yield [{ kind: 'not_judged', step, text, values: {} }];
}

/** Whether a series has a value that can be judged. */
export const hasFinite = ({ values }: MetricSeries): boolean => Array.from(values).some(isMeasured);
const lastStepOf = (courses: Iterable<MetricSeries>): number => {
  let last = 0;
  for (const { steps } of courses) last = Math.max(last, steps[steps.length - 1] ?? 0);
  return last;
};

/** A series that shows what followed an intervention. */
export interface FollowedSeries {
  name: string;
  label: string;
  /** Absent for accuracies in percentage points. */
  unit?: string | undefined;
}
/** One sentence names at most this many series. */
const mostFollowed = 3;

/**
 * The series to judge interventions by: the mean held-out accuracy. A run without it has its held-out tasks, then series with
 * a direction and a noise floor, then losses, three at most.
 */
export function followedSeries(
  declared: Iterable<SeriesFacts>,
  series: Pick<SeriesByName, 'has'>,
  description: RunDescription,
): FollowedSeries[] {
  if (series.has(metrics.heldOutMean)) return [{ name: metrics.heldOutMean, label: 'held-out accuracy', unit: '%' }];
  const rank = (facts: SeriesFacts): number => {
    if (heldOutTaskOf(facts.name) !== undefined) return 0;
    if (facts.better !== undefined && facts.noiseFloor !== undefined) return 1;
    return isLoss(facts) ? 2 : 3;
  };
  /** The first of each rank. */
  const first: SeriesFacts[][] = [[], [], []];
  for (const facts of declared) {
    const ranked = series.has(facts.name) ? first[rank(facts)] : undefined;
    if (ranked && ranked.length < mostFollowed) ranked.push(facts);
  }
  return first
    .flat()
    .slice(0, mostFollowed)
    .map((facts) => ({ name: facts.name, label: labelOf(facts, description), unit: facts.unit }));
}

/**
 * Says which findings cannot be made, and the series that each would need.
 * @param events the run's control events: `run_started` brings the base model's values
 * @param declared the series that the events declare
 */
export function notJudged(
  series: SeriesByName,
  events: readonly RunChange[],
  description: RunDescription,
  declared: Declared = declaredIn(events),
): Finding[] {
  const baseline = baselineOf(events);
  const step = lastStepOf(series.values());
  const lacks = (name: string, needs: { base: boolean; noise: boolean }): string[] => [
    ...(series.has(name) ? [] : [`values of ${name}`]),
    ...(needs.base && !baseline.has(name) ? [`${name} in \`baseline\``] : []),
    ...(needs.noise && declared.get(name)?.noiseFloor === undefined ? [`a \`noiseFloor\` of ${name}`] : []),
  ];
  const tasks = tasksOfKind(description, 'held_out').map(({ name }) => heldOutAccuracy(name));
  const heldOut = [...new Set([...tasks, ...[...series.keys()].filter((name) => heldOutTaskOf(name) !== undefined)])];
  const lackingTasks = heldOut.flatMap((name) => lacks(name, { base: true, noise: true }));
  const asMean = lacks(metrics.heldOutMean, { base: true, noise: true });
  // The tasks stand in for their mean.
  const lackingHeldOut = heldOut.length > 0 && asMean.length > 0 ? lackingTasks : asMean;
  const lackingOf: [what: string, lacking: string[]][] = [
    ['a drop of held-out accuracy', lackingHeldOut],
    ['number-token bias', lacks(metrics.numberTokensHeldOut, { base: true, noise: true })],
    ['a shift of the output distribution', lacks(metrics.kl, { base: false, noise: true })],
    ...targetNames(description, series.keys()).map((task): [string, string[]] => [
      `what ${taskLabel(description, task)} came to`,
      lacks(targetAccuracy(task), { base: true, noise: false }),
    ]),
    [
      'where the weights moved',
      [...series.keys()].some((name) => name.startsWith('drift/')) ? [] : ['values of drift/GROUP'],
    ],
  ];
  return lackingOf.flatMap(([what, lacking]): Finding[] =>
    lacking.length === 0
      ? []
      : [{ kind: 'not_judged', step, text: `Not judged: ${what}. The run lacks ${someOf(lacking)}.`, values: {} }],
  );
}

const knownNames: ReadonlySet<string> = new Set(Object.values(metrics));
/**
 * A series of the trainer's own that is declared to be judged, with a direction or a noise floor, but lacks what that
 * needs; with the reason.
 */
function unjudgedWords(facts: SeriesFacts, series: SeriesByName, baseline: Baseline, of: RunDescription): string[] {
  const { name, better, noiseFloor } = facts;
  const course = series.get(name);
  if (!course || (better === undefined && noiseFloor === undefined)) return [];
  // Other sentences are about these.
  if (knownNames.has(name) || /^(held_out|target)\/.+\/accuracy$/.test(name)) return [];
  const lacking = [
    ...(better === undefined ? ['no `better`'] : []),
    ...(noiseFloor === undefined ? ['no `noiseFloor`'] : []),
    ...(baseline.has(name) ? [] : ['not in `baseline`']),
    ...(hasFinite(course) ? [] : ['no finite value']),
  ];
  return lacking.length === 0 ? [] : [`${labelOf(facts, of)} (${lacking.join(', ')})`];
}

const mostNamed = 6;
const someOf = (names: readonly string[]): string =>
  names.slice(0, mostNamed).join(', ') + (names.length > mostNamed ? ` and ${names.length - mostNamed} more` : '');
