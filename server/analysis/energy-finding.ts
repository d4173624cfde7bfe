import { formatEmissions, formatEnergy, formatEnergyRange } from '@plumbline/shared/energy-words';
import { metrics } from '@plumbline/shared/metric';
import type { Finding, MetricSeries } from './finding.js';

/**
 * Energy of a run and of each optimizer step. A branch counts both from its branch point. Pauses and probes are included.
 * @param series by metric name, as the store returns them; steps ascend
 * @param firstStep the step at which the run began
 * @param hasEnded otherwise the sentence says "so far"
 * @returns undefined for a run without energy values
 */
export function energyFinding(
  series: ReadonlyMap<string, MetricSeries>,
  firstStep: number,
  hasEnded: boolean,
): Finding | undefined {
  const told = series.get(metrics.energyJoules);
  const joules = lastOf(told);
  if (!told || joules === undefined) return undefined;
  const step = told.steps[told.steps.length - 1]!;
  // Without bounds the trainer's value is used as it is.
  const low = lastOf(series.get(metrics.energyJoulesLow)) ?? joules;
  const high = lastOf(series.get(metrics.energyJoulesHigh)) ?? joules;
  const measured = lastOf(series.get(metrics.energyMeasured)) ?? 0;
  const grams = lastOf(series.get(metrics.co2Grams));
  const perStep = step > firstStep ? joules / (step - firstStep) : undefined;
  const took = hasEnded ? `took ${formatEnergy(joules)}` : `has taken ${formatEnergy(joules)} so far`;
  const emissions = grams === undefined ? '' : `, ${formatEmissions(grams)}`;
  const each = perStep === undefined ? '' : `: ${formatEnergy(perStep)} a step`;
  return {
    kind: 'energy',
    step,
    text:
      `The run ${took} (${formatEnergyRange(joules, low, high)}, ${measured.toFixed(0)} % of it measured)` +
      `${emissions}${each}.`,
    values: {
      ...{ joules, low, high, measuredPercent: measured },
      ...(grams !== undefined && { co2Grams: grams }),
      ...(perStep !== undefined && { joulesPerStep: perStep }),
    },
  };
}

const lastOf = (series: MetricSeries | undefined): number | undefined =>
  series && series.values.length > 0 ? series.values[series.values.length - 1]! : undefined;
