import { fromWireNumber, metrics } from '@plumbline/shared/metric';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import type { EnergyBasis } from '@plumbline/shared/energy';
import type { MetricSeries } from './finding.js';

/** Joules, with what they are at least and at most. */
export interface Bounded {
  value: number;
  low: number;
  high: number;
}

/** What one run took, so far or in all; null is what cannot be said. */
export interface EnergySummary {
  joules: Bounded;
  /** g CO2e. Its bounds are those of the energy; those of the grid's intensity are not in them. */
  co2Grams: Bounded | null;
  /** How much of the energy a sensor measured, in percent. */
  measuredPercent: number;
  /** Optimizer steps since the run's own start: a branch counts from its branch point, as its energy does. */
  steps: number;
  joulesPerStep: Bounded | null;
  /** Percentage points of target accuracy won since the run's own first probe. */
  targetGain: number | null;
  /** Null where nothing was won: energy by nothing is no number. */
  joulesPerTargetPoint: Bounded | null;
  basis: EnergyBasis | null;
}

/**
 * What a run took, and for what. Pure: the same series give the same summary.
 *
 * @param series by metric name, as the store returns them; steps ascend
 * @param events the run's control events; `run_started` says what the energy rests on
 * @param target the metric of the target's accuracy, `target/<task>/accuracy`, in percent
 * @returns null for a run whose trainer told no energy
 */
export function energySummary(
  series: ReadonlyMap<string, MetricSeries>,
  events: readonly ControlEvent[],
  target: string,
): EnergySummary | null {
  const value = lastOf(series.get(metrics.energyJoules));
  if (value === null) return null;
  // A trainer that tells no bounds is taken at its word.
  const joules = {
    value,
    low: lastOf(series.get(metrics.energyJoulesLow)) ?? value,
    high: lastOf(series.get(metrics.energyJoulesHigh)) ?? value,
  };
  const started = events.find((event) => event.type === 'run_started');
  const steps = lastStepOf(series.get(metrics.energyJoules)!) - (started?.step ?? 0);
  const targetGain = gainOf(series.get(target), started?.step === 0 ? started.baseline[target] : undefined);
  const grams = lastOf(series.get(metrics.co2Grams));
  return {
    joules,
    co2Grams: grams === null || value <= 0 ? null : scaled(joules, grams / value),
    measuredPercent: lastOf(series.get(metrics.energyMeasured)) ?? 0,
    steps,
    joulesPerStep: steps > 0 ? scaled(joules, 1 / steps) : null,
    targetGain,
    joulesPerTargetPoint: targetGain !== null && targetGain > 0 ? scaled(joules, 1 / targetGain) : null,
    basis: started?.trainer.energy ?? null,
  };
}

/** What the runs of one recipe took together. */
export interface RecipeEnergy {
  recipe: string;
  runs: number;
  joules: Bounded;
  /** Null where one of them told none. */
  co2Grams: Bounded | null;
  /** All their energy by all their steps, and by all the points they won. */
  joulesPerStep: Bounded | null;
  joulesPerTargetPoint: Bounded | null;
}

/**
 * Energy by recipe, in the order in which recipes first appear. Sums are divided by sums, so that a long run weighs more
 * than a short one; bounds are added, since what makes one run's figure wrong makes the others' wrong the same way.
 */
export function energyByRecipe(runs: readonly { recipe: string; energy: EnergySummary }[]): RecipeEnergy[] {
  const byRecipe = new Map<string, EnergySummary[]>();
  for (const { recipe, energy } of runs) byRecipe.set(recipe, [...(byRecipe.get(recipe) ?? []), energy]);
  return [...byRecipe].map(([recipe, of]) => {
    const joules = sumOf(of.map((run) => run.joules));
    const grams = of.map((run) => run.co2Grams);
    const steps = of.reduce((sum, run) => sum + run.steps, 0);
    const gain = of.reduce((sum, run) => sum + (run.targetGain ?? 0), 0);
    return {
      recipe,
      runs: of.length,
      joules,
      co2Grams: grams.every((each) => each !== null) ? sumOf(grams) : null,
      joulesPerStep: steps > 0 ? scaled(joules, 1 / steps) : null,
      joulesPerTargetPoint: gain > 0 ? scaled(joules, 1 / gain) : null,
    };
  });
}

const scaled = ({ value, low, high }: Bounded, by: number): Bounded => ({
  ...{ value: value * by, low: low * by, high: high * by },
});

const sumOf = (all: readonly Bounded[]): Bounded =>
  all.reduce((sum, { value, low, high }) => ({ value: sum.value + value, low: sum.low + low, high: sum.high + high }), {
    ...{ value: 0, low: 0, high: 0 },
  });

const lastOf = (series: MetricSeries | undefined): number | null =>
  series && series.values.length > 0 ? series.values[series.values.length - 1]! : null;

const lastStepOf = ({ steps }: MetricSeries): number => steps[steps.length - 1]!;

/** From the first probe of the run, or the base model's value, to the last. */
function gainOf(
  series: MetricSeries | undefined,
  base: Parameters<typeof fromWireNumber>[0] | undefined,
): number | null {
  const last = lastOf(series);
  if (last === null) return null;
  const gain = last - (base === undefined ? series!.values[0]! : fromWireNumber(base));
  return Number.isFinite(gain) ? gain : null;
}
