import { isMeasured, metrics } from '@plumbline/shared/metric';
import { Rng } from '@plumbline/shared/rng';
import { bootstrapDifferences, bootstrapIntervals, quantile, type Contents, type Interval } from './bootstrap.js';
import type { MetricSeries } from './finding.js';
import { correlation } from './findings.js';
import { seedInterval } from './seed-interval.js';
import {
  accuraciesOf,
  finalMeasures,
  sequenceRun,
  type SequenceAccuracies,
  type SequenceRun,
} from './sequence-measures.js';
import { largestOf, mean, valueAt, type StudyRun } from './study-run.js';

/*
 * Tests the claims of arXiv 2510.08564 about large models on a study's runs, by fixed rules. Each part of a claim is a number
 * that should be above 0 (or below). It supports the claim if all its 95 % intervals are entirely on that side, and
 * contradicts it if all are entirely on the other side. Otherwise it is undecided; with one seed it always is.
 *
 * The intervals of a part depend on what can be resampled. Parts based on answers, (a) and (c), have two: the bootstrap over
 * seeds and questions, and Student's over the seeds alone, which a few lucky questions cannot narrow. Parts based on probes
 * have one, because a probe keeps only the mean over its prompts: (b) a bootstrap over seeds and stages; (d), with one value
 * per seed, Student's over the seeds. Neither covers other prompts.
 */

export const verdicts = ['holds', 'holds in part', 'does not hold', 'not decided'] as const;
export type Verdict = (typeof verdicts)[number];

export interface Claim {
  id: 'a' | 'b' | 'c' | 'd';
  /** What the paper says. */
  says: string;
  verdict: Verdict;
  /** The numbers behind the verdict, a sentence each. */
  evidence: string[];
}

type Part = 'for' | 'against' | 'open';
type Bounds = Pick<Interval, 'low' | 'high'>;
/** Whether a number is above 0 by all of its intervals; null stands for an interval that could not be computed. */
function above(...intervals: readonly (Bounds | null)[]): Part {
  const known = intervals.filter((interval) => interval !== null);
  if (known.length < intervals.length) return 'open';
  if (known.every(({ low }) => low > 0)) return 'for';
  return known.every(({ high }) => high < 0) ? 'against' : 'open';
}
const below = (...intervals: readonly (Bounds | null)[]): Part =>
  above(...intervals.map((interval) => interval && { low: -interval.high, high: -interval.low }));
/** The conjunction of verdicts. */
function all(parts: readonly Part[]): Part {
  if (parts.includes('against')) return 'against';
  return parts.length > 0 && parts.every((part) => part === 'for') ? 'for' : 'open';
}

/** A claim holds if all of its parts do, and in part if some do. It does not hold if none does and one contradicts it. */
function verdictOf(parts: readonly Part[]): Verdict {
  if (parts.length > 0 && parts.every((part) => part === 'for')) return 'holds';
  if (parts.includes('for')) return 'holds in part';
  return parts.includes('against') ? 'does not hold' : 'not decided';
}

/** Names of the variants that the claims are about; null if the study lacks one, which leaves claims about it undecided. */
export interface ClaimVariants {
  reference: string;
  /** The first variant that trains this recipe and does nothing else. */
  saProj: string | null;
  mlpGateUp: string | null;
  mlp: string | null;
}

/** A variant learns "similarly" if it learns at least this share of what the reference learns. */
export const similarLearning = 0.75;

/** The runs of a variant as sequences of answers. @param weight of WiSE-FT; null: as trained */
export const sequencesOf = (runs: readonly StudyRun[], weight: number | null = null): SequenceRun[] =>
  runs.map((run) => sequenceRun(run.evaluations, { seed: run.seed, stages: run.tasks, heldOut: run.heldOut, weight }));

/** All four claims. @param runs of every variant, by its name @param contents of the questions that all runs answered */
export function studyClaims(
  runs: ReadonlyMap<string, readonly StudyRun[]>,
  variants: ClaimVariants,
  contents: Contents,
): Claim[] {
  return [
    dropAndRecovery(runs, variants, contents),
    dropWithBias(runs, variants),
    recipes(runs, variants, contents),
    whereWritten(runs, variants),
  ];
}

/** points, with the interval */
export const withInterval = (
  { estimate, low, high }: Pick<Interval, 'estimate' | 'low' | 'high'>,
  digits = 1,
): string => `${signed(estimate, digits)} [${signed(low, digits)}, ${signed(high, digits)}]`;
const signed = (value: number, digits: number): string => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`;

function dropAndRecovery(
  runs: ReadonlyMap<string, readonly StudyRun[]>,
  { reference }: ClaimVariants,
  contents: Contents,
): Claim {
  const claim = {
    id: 'a' as const,
    says: 'Held-out accuracy drops after counting, and part of it comes back with the skill taught next.',
  };
  const of = runs.get(reference) ?? [];
  const counting = of[0]?.tasks.indexOf('counting') ?? -1;
  if (counting < 0) return { ...claim, verdict: 'not decided', evidence: [`${reference} was not taught counting.`] };
  const sequences = sequencesOf(of);
  const moves = (run: SequenceAccuracies): { drop: number; recovery: number | null } => ({
    drop: heldOutAfter(run, counting) - heldOutAfter(run, counting - 1),
    recovery:
      run.afterStage.length > counting + 1 ? heldOutAfter(run, counting + 1) - heldOutAfter(run, counting) : null,
  });
  const { drop, recovery } = bootstrapIntervals(sequences, moves, { contents });
  const bySeed = sequences.map((run) => moves(accuraciesOf(run)));
  const next = of[0]!.tasks[counting + 1];
  const evidence = [`Counting moved held-out accuracy of ${reference} by ${withInterval(drop!)} points.`];
  if (recovery) evidence.push(`Teaching ${next} after it moved it by ${withInterval(recovery)} points.`);
  const dropped = below(drop, seedInterval(bySeed.map((run) => run.drop)));
  const came = recovery ? above(recovery, seedInterval(bySeed.map((run) => run.recovery!))) : 'open';
  // Without a drop there is no recovery.
  return { ...claim, verdict: verdictOf(dropped === 'for' ? [dropped, came] : [dropped]), evidence };
}

/** Mean held-out accuracy after a stage in percent; before the first stage, the base model's. */
function heldOutAfter({ base, afterStage, heldOut }: SequenceAccuracies, stage: number): number {
  const of = stage < 0 ? base : afterStage[stage]!;
  return heldOut.reduce((sum, task) => sum + of[task]!, 0) / heldOut.length;
}

function dropWithBias(runs: ReadonlyMap<string, readonly StudyRun[]>, { reference }: ClaimVariants): Claim {
  const claim = {
    id: 'b' as const,
    says: 'Held-out accuracy falls and rises with number-token bias on held-out prompts.',
  };
  const of = runs.get(reference) ?? [];
  const found = blockCorrelation(of, metrics.heldOutMean, metrics.numberTokensHeldOut);
  if (!found)
    return { ...claim, verdict: 'not decided', evidence: ['It takes probes of at least two seeds that differ.'] };
  return {
    ...claim,
    verdict: verdictOf([below(found)]),
    evidence: [
      `Over ${found.points} probes of ${reference} the two correlate by r = ${withInterval(found, 2)} ` +
        `(bootstrap over seeds and stages).`,
    ],
  };
}

/**
 * Pearson correlation of two series over all probes after the first, with a 95 % interval. Successive probes are similar, so
 * whole blocks are resampled, one per stage and seed (block bootstrap, Kunsch 1989). A skill affects all seeds similarly, so
 * seeds and stages are drawn separately and crossed, as in bootstrap.ts, with n - 1 of n seeds.
 * @returns null with fewer than two seeds, or if a series is constant in every draw
 */
export function blockCorrelation(
  runs: readonly StudyRun[],
  a: string,
  b: string,
  { replicates = 2000, seed = 1 } = {},
): { estimate: number; low: number; high: number; points: number } | null {
  if (runs.length < 2) return null;
  /** By run and stage. */
  const blocks = runs.map((run) => {
    const [first, second] = [run.series[a], run.series[b]];
    return run.tasks.map((_, stage) => {
      const block: [number, number][] = [];
      for (let i = 0; first && second && i < first.steps.length; i++) {
        const step = first.steps[i]!;
        if (step <= stage * run.stepsPerStage || step > (stage + 1) * run.stepsPerStage) continue;
        const pair: [number, number] = [first.values[i]!, valueAt(second, step)];
        if (pair.every(isMeasured)) block.push(pair);
      }
      return block;
    });
  });
  const of = (pairs: readonly [number, number][]): number => {
    const series = (column: 0 | 1): MetricSeries => ({
      steps: pairs.map((_, index) => index),
      values: pairs.map((pair) => pair[column]),
    });
    return correlation(series(0), series(1));
  };
  const estimate = of(blocks.flat(2));
  if (Number.isNaN(estimate)) return null;
  const rng = new Rng(seed);
  const draw = (n: number, from: number): number[] => Array.from({ length: n }, () => rng.integer(from));
  const stages = blocks[0]!.length;
  const samples = Array.from({ length: replicates }, () => {
    const drawnStages = draw(stages, stages);
    return of(
      draw(runs.length - 1, runs.length).flatMap((run) => drawnStages.flatMap((stage) => blocks[run]![stage]!)),
    );
  })
    .filter(Number.isFinite)
    .sort((x, y) => x - y);
  if (samples.length === 0) return null;
  return { estimate, low: quantile(samples, 0.025), high: quantile(samples, 0.975), points: blocks.flat(2).length };
}

function recipes(
  runs: ReadonlyMap<string, readonly StudyRun[]>,
  { reference, saProj, mlpGateUp }: ClaimVariants,
  contents: Contents,
): Claim {
  const claim = {
    id: 'c' as const,
    says: 'SA Proj and MLP Gate & Up forget less than the whole model and learn the target skills about as well.',
  };
  const base = runs.get(reference) ?? [];
  const parts: Part[] = [];
  const evidence: string[] = [];
  for (const [name, recipe] of [
    [saProj, 'sa_proj'],
    [mlpGateUp, 'mlp_gate_up'],
  ] as const) {
    const of = runsOf(runs, name);
    if (name === null || of.length === 0 || base.length === 0) {
      evidence.push(`The study has no variant that trains ${recipe} and does nothing else.`);
      continue;
    }
    const judged = recipeAgainst(name, sequencesOf(of), reference, sequencesOf(base), contents);
    parts.push(judged.part);
    evidence.push(judged.evidence);
  }
  return { ...claim, verdict: parts.length < 2 ? 'not decided' : verdictOf(parts), evidence };
}

const runsOf = (runs: ReadonlyMap<string, readonly StudyRun[]>, name: string | null): readonly StudyRun[] =>
  (name === null ? undefined : runs.get(name)) ?? [];

/** A recipe supports the claim if it both forgets less than the reference and learns a similar share. */
function recipeAgainst(
  name: string,
  own: readonly SequenceRun[],
  reference: string,
  whole: readonly SequenceRun[],
  contents: Contents,
): { part: Part; evidence: string } {
  const { heldOutForgetting, targetLearning } = bootstrapDifferences(own, whole, finalMeasures, { contents });
  /** Percentage points learnt above the share that counts as similar. */
  const margin = bootstrapDifferences(own, whole, finalMeasures, { contents, share: similarLearning }).targetLearning;
  const measuresOf = (runs: readonly SequenceRun[]): ReturnType<typeof finalMeasures>[] =>
    runs.toSorted((x, y) => x.seed - y.seed).map((run) => finalMeasures(accuraciesOf(run)));
  const [ofOwn, ofWhole] = [measuresOf(own), measuresOf(whole)];
  const savedBySeed = ofOwn.map((run, index) => run.heldOutForgetting! - ofWhole[index]!.heldOutForgetting!);
  const marginBySeed = ofOwn.map(
    (run, index) => run.targetLearning! - similarLearning * ofWhole[index]!.targetLearning!,
  );
  const share = mean(ofOwn.map((run) => run.targetLearning!)) / mean(ofWhole.map((run) => run.targetLearning!));
  return {
    part: all([above(heldOutForgetting, seedInterval(savedBySeed)), above(margin, seedInterval(marginBySeed))]),
    evidence:
      `${name} against ${reference}: held-out ${withInterval(heldOutForgetting!)} points, target learning ` +
      `${withInterval(targetLearning!)} points (${(100 * share).toFixed(0)} % of what ${reference} learns; ` +
      `${withInterval(margin!)} points against the ${100 * similarLearning} % that count as similar).`,
  };
}

const numberPush = /^contribution\/number_tokens\/[^/]+\/(self_attn|mlp)$/;

function whereWritten(
  runs: ReadonlyMap<string, readonly StudyRun[]>,
  { reference, saProj, mlp }: ClaimVariants,
): Claim {
  const claim = { id: 'd' as const, says: 'The shift towards number tokens is written by the MLP, not by attention.' };
  const of = runs.get(reference) ?? [];
  const differences = of.flatMap((run) => {
    const counting = run.tasks.indexOf('counting');
    /** Sum over all layers; NaN if it was not measured. */
    const push = (block: string): number => {
      const layers = Object.entries(run.series).filter(([name]) => numberPush.exec(name)?.[1] === block);
      const pushes = layers.map(([, series]) => valueAt(series, (counting + 1) * run.stepsPerStage));
      return pushes.length === 0 ? NaN : pushes.reduce((sum, value) => sum + value, 0);
    };
    const [ofMlp, ofAttention] = [push('mlp'), push('self_attn')];
    return counting < 0 || Number.isNaN(ofMlp + ofAttention) ? [] : [{ ofMlp, ofAttention }];
  });
  const gap = seedInterval(differences.map(({ ofMlp, ofAttention }) => ofMlp - ofAttention));
  if (!gap)
    return { ...claim, verdict: 'not decided', evidence: ['It takes layer contributions of at least two seeds.'] };
  const evidence = [
    `After counting, the MLP blocks of ${reference} push number tokens by ${signed(mean(differences.map((d) => d.ofMlp)), 2)} logits ` +
      `more than in the base, the attention blocks by ${signed(mean(differences.map((d) => d.ofAttention)), 2)}; ` +
      `difference ${withInterval(gap, 2)} over ${differences.length} seeds.`,
  ];
  const worst = [mlp, saProj].map((name) => {
    const values = runsOf(runs, name).map((run) => largestOf(run, metrics.numberTokensHeldOut));
    return values.length === 0 ? null : mean(values);
  });
  if (worst[0] !== null && worst[1] !== null)
    evidence.push(
      `Worst number-token bias on held-out prompts: ${worst[0]!.toPrecision(2)} where the MLP alone is trained, ` +
        `${worst[1]!.toPrecision(2)} where attention alone is.`,
    );
  return { ...claim, verdict: verdictOf([above(gap)]), evidence };
}
