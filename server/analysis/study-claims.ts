import { metrics } from '@plumbline/shared/metric';
import { Rng } from '@plumbline/shared/rng';
import { bootstrapDifferences, bootstrapIntervals, type Interval } from './bootstrap.js';
import { correlation, type MetricSeries } from './findings.js';
import { finalMeasures, sequenceRun, type SequenceAccuracies, type SequenceRun } from './sequence-measures.js';
import { largestOf, valueAt, type StudyRun } from './study-run.js';

/*
 * What arXiv 2510.08564 says of large models, asked of a study's runs. Each claim is read by a rule that is fixed here,
 * before any run: of each of its parts, a 95 % interval wholly on the claimed side of 0 speaks for it, one wholly on the
 * other side against it, and one about 0 decides nothing.
 */

export const verdicts = ['holds', 'holds in part', 'does not hold', 'not decided'] as const;
export type Verdict = (typeof verdicts)[number];

export interface Claim {
  id: 'a' | 'b' | 'c' | 'd';
  /** What the paper says. */
  says: string;
  verdict: Verdict;
  /** One sentence each, with the numbers the verdict rests on. */
  evidence: string[];
}

type Part = 'for' | 'against' | 'open';
const positive = ({ low, high }: Pick<Interval, 'low' | 'high'>): Part =>
  low > 0 ? 'for' : high < 0 ? 'against' : 'open';
const negative = ({ low, high }: Pick<Interval, 'low' | 'high'>): Part => positive({ low: -high, high: -low });

/** A claim holds when all of its parts do, in part when some do; it does not when none does and one speaks against it. */
function verdictOf(parts: readonly Part[]): Verdict {
  if (parts.length > 0 && parts.every((part) => part === 'for')) return 'holds';
  if (parts.includes('for')) return 'holds in part';
  return parts.includes('against') ? 'does not hold' : 'not decided';
}

/** The variants that the claims are about, by their names in the study; a claim whose variant is missing is not decided. */
export interface ClaimVariants {
  reference: string;
  saProj: string;
  mlpGateUp: string;
  mlp: string;
}
export const claimVariants: Omit<ClaimVariants, 'reference'> = {
  saProj: 'sa_proj',
  mlpGateUp: 'mlp_gate_up',
  mlp: 'mlp',
};

/** A variant learns "similarly" when it learns at least this share of what the reference does. */
export const similarLearning = 0.75;

/** The runs of a variant as sequences of answers. @param weight of WiSE-FT; null: as trained */
export const sequencesOf = (runs: readonly StudyRun[], weight: number | null = null): SequenceRun[] =>
  runs.map((run) => sequenceRun(run.evaluations, { seed: run.seed, stages: run.tasks, heldOut: run.heldOut, weight }));

/** All four claims. @param runs of every variant, by its name */
export function studyClaims(runs: ReadonlyMap<string, readonly StudyRun[]>, variants: ClaimVariants): Claim[] {
  return [
    dropAndRecovery(runs, variants),
    dropWithBias(runs, variants),
    recipes(runs, variants),
    whereWritten(runs, variants),
  ];
}

/** points, with the interval */
export const withInterval = (
  { estimate, low, high }: Pick<Interval, 'estimate' | 'low' | 'high'>,
  digits = 1,
): string => `${signed(estimate, digits)} [${signed(low, digits)}, ${signed(high, digits)}]`;
const signed = (value: number, digits: number): string => `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(digits)}`;

function dropAndRecovery(runs: ReadonlyMap<string, readonly StudyRun[]>, { reference }: ClaimVariants): Claim {
  const claim = {
    id: 'a' as const,
    says: 'Held-out accuracy drops after counting, and part of it comes back with the skill taught next.',
  };
  const of = runs.get(reference) ?? [];
  const counting = of[0]?.tasks.indexOf('counting') ?? -1;
  if (counting < 0) return { ...claim, verdict: 'not decided', evidence: [`${reference} was not taught counting.`] };
  const { drop, recovery } = bootstrapIntervals(sequencesOf(of), (run) => ({
    drop: heldOutAfter(run, counting) - heldOutAfter(run, counting - 1),
    recovery:
      run.afterStage.length > counting + 1 ? heldOutAfter(run, counting + 1) - heldOutAfter(run, counting) : null,
  }));
  const next = of[0]!.tasks[counting + 1];
  const evidence = [`Counting moved held-out accuracy of ${reference} by ${withInterval(drop!)} points.`];
  if (recovery) evidence.push(`Teaching ${next} after it moved it by ${withInterval(recovery)} points.`);
  return { ...claim, verdict: verdictOf([negative(drop!), recovery ? positive(recovery) : 'open']), evidence };
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
  if (!found) return { ...claim, verdict: 'not decided', evidence: ['Too few probes to correlate.'] };
  const { estimate, low, high, blocks, points } = found;
  return {
    ...claim,
    verdict: verdictOf([negative(found)]),
    evidence: [
      `Over ${points} probes of ${reference} the two correlate by r = ${withInterval({ estimate, low, high }, 2)} ` +
        `(bootstrap over ${blocks} blocks, one a stage and seed).`,
    ],
  };
}

/**
 * Pearson correlation of two series over all probes after the first, with a 95 % interval. Probes that follow one
 * another are alike, so whole blocks are drawn anew, one a stage and seed (block bootstrap, Kunsch 1989).
 */
export function blockCorrelation(
  runs: readonly StudyRun[],
  a: string,
  b: string,
  { replicates = 2000, seed = 1 } = {},
): { estimate: number; low: number; high: number; blocks: number; points: number } | null {
  const blocks = runs.flatMap((run) => {
    const [first, second] = [run.series[a], run.series[b]];
    if (!first || !second) return [];
    return run.tasks.map((_, stage) => {
      const block: [number, number][] = [];
      for (let i = 0; i < first.steps.length; i++) {
        const step = first.steps[i]!;
        if (step <= stage * run.stepsPerStage || step > (stage + 1) * run.stepsPerStage) continue;
        const pair: [number, number] = [first.values[i]!, valueAt(second, step)];
        if (pair.every(Number.isFinite)) block.push(pair);
      }
      return block;
    });
  });
  const of = (drawn: readonly [number, number][][]): number => {
    const pairs = drawn.flat();
    const series = (column: 0 | 1): MetricSeries => ({
      steps: pairs.map((_, index) => index),
      values: pairs.map((pair) => pair[column]),
    });
    return correlation(series(0), series(1));
  };
  const estimate = of(blocks);
  if (Number.isNaN(estimate)) return null;
  const rng = new Rng(seed);
  const samples = Array.from({ length: replicates }, () => of(blocks.map(() => rng.pick(blocks))))
    .filter(Number.isFinite)
    .sort((x, y) => x - y);
  const at = (share: number): number => samples[Math.round(share * (samples.length - 1))]!;
  return { estimate, low: at(0.025), high: at(0.975), blocks: blocks.length, points: blocks.flat().length };
}

function recipes(
  runs: ReadonlyMap<string, readonly StudyRun[]>,
  { reference, saProj, mlpGateUp }: ClaimVariants,
): Claim {
  const claim = {
    id: 'c' as const,
    says: 'SA Proj and MLP Gate & Up keep held-out accuracy and learn the target skills about as well as the whole model.',
  };
  const base = runs.get(reference) ?? [];
  const judged = [saProj, mlpGateUp].map((name) => {
    const of = runs.get(name);
    if (!of || base.length === 0) return null;
    const { heldOutForgetting, targetLearning } = bootstrapDifferences(
      sequencesOf(of),
      sequencesOf(base),
      finalMeasures,
    );
    const [own, whole] = [of, base].map(
      (side) => bootstrapIntervals(sequencesOf(side), finalMeasures).targetLearning!.estimate,
    );
    const share = own! / whole!;
    return {
      parts: [positive(heldOutForgetting!), share >= similarLearning ? 'for' : 'against'] as Part[],
      evidence:
        `${name} against ${reference}: held-out ${withInterval(heldOutForgetting!)} points, target learning ` +
        `${withInterval(targetLearning!)} points (${(100 * share).toFixed(0)} % of what ${reference} learns; ` +
        `${100 * similarLearning} % counts as similar).`,
    };
  });
  const known = judged.filter((one) => one !== null);
  const evidence = known.map((one) => one.evidence);
  if (known.length < judged.length)
    return { ...claim, verdict: 'not decided', evidence: [...evidence, `The study lacks ${saProj} or ${mlpGateUp}.`] };
  return { ...claim, verdict: verdictOf(known.flatMap(({ parts }) => parts)), evidence };
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
    /** All layers together; NaN where it was not measured. */
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
  const mean = (values: number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
  const evidence = [
    `After counting, the MLP blocks of ${reference} push number tokens by ${signed(mean(differences.map((d) => d.ofMlp)), 2)} logits ` +
      `more than in the base, the attention blocks by ${signed(mean(differences.map((d) => d.ofAttention)), 2)}; ` +
      `difference ${withInterval(gap, 2)} over ${differences.length} seeds.`,
  ];
  const worst = [mlp, saProj].map((name) => {
    const values = (runs.get(name) ?? []).map((run) => largestOf(run, metrics.numberTokensHeldOut));
    return values.length === 0 ? null : mean(values);
  });
  if (worst[0] !== null && worst[1] !== null)
    evidence.push(
      `Worst number-token bias on held-out prompts: ${worst[0]!.toPrecision(2)} where the MLP alone is trained, ` +
        `${worst[1]!.toPrecision(2)} where attention alone is.`,
    );
  return { ...claim, verdict: verdictOf([positive(gap)]), evidence };
}

/** 97.5 % quantiles of Student's t for 1 to 9 degrees of freedom. */
const studentT = [12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262];

/** Mean over seeds with Student's 95 % interval; null with fewer than two. */
export function seedInterval(values: readonly number[]): { estimate: number; low: number; high: number } | null {
  if (values.length < 2) return null;
  const estimate = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - estimate) ** 2, 0) / (values.length - 1);
  const reach = (studentT[values.length - 2] ?? 1.96) * Math.sqrt(variance / values.length);
  return { estimate, low: estimate - reach, high: estimate + reach };
}
