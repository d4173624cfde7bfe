import { formatEmissions, formatEnergyRange } from '@plumbline/shared/energy-words';
import { metrics } from '@plumbline/shared/metric';
import type { RunStore } from './run-store';

/** The series that a reading is made of. */
export const energyMetrics: readonly string[] = [
  metrics.energyJoules,
  metrics.energyJoulesLow,
  metrics.energyJoulesHigh,
  metrics.energyMeasured,
  metrics.co2Grams,
];

/** The energy of a run so far, with words to show beside the number. */
export interface EnergyReading {
  joules: number;
  how: 'measured' | 'part measured' | 'modelled';
  /** `0.31–1.6 Wh`; empty if the trainer sends no bounds. */
  range: string;
  /** `0.3 g CO₂e`; empty if the trainer sends none. */
  emissions: string;
  /** The basis of the figure, in sentences. */
  rests: string;
}

/** Reads the energy of a run; null if its trainer sends none. */
export function energyReading(store: RunStore): EnergyReading | null {
  const latest = (metric: string): number | undefined => store.series.get(metric)?.lastValue;
  const joules = latest(metrics.energyJoules);
  if (joules === undefined) return null;
  const [low, high] = [latest(metrics.energyJoulesLow), latest(metrics.energyJoulesHigh)];
  const grams = latest(metrics.co2Grams);
  const measured = latest(metrics.energyMeasured) ?? 0;
  return {
    joules,
    // A small modelled share beside a measured GPU and CPU still counts as measured.
    how: measured >= 90 ? 'measured' : measured > 0 ? 'part measured' : 'modelled',
    range: low === undefined || high === undefined ? '' : formatEnergyRange(joules, low, high),
    emissions: grams === undefined ? '' : formatEmissions(grams),
    rests: restsOn(store, measured),
  };
}

function restsOn(store: RunStore, measured: number): string {
  const basis = store.latest('run_started')?.trainer.energy;
  if (!basis) return 'The trainer does not say how it measures this.';
  const { gridIntensity, powerUsageEffectiveness } = basis;
  return [
    basis.measured.length > 0 && `Measured (${Math.round(measured)} %): ${basis.measured.join('; ')}.`,
    basis.modelled.length > 0 && `Modelled: ${basis.modelled.join('; ')}.`,
    ...basis.notes,
    powerUsageEffectiveness !== 1 && `Multiplied by ${powerUsageEffectiveness} for the building (PUE).`,
    `Grid: ${gridIntensity} g CO₂e/kWh; the range covers the energy only.`,
  ]
    .filter((sentence) => sentence !== false)
    .join('\n');
}
