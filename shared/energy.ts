import { z } from 'zod';
import { maxBasisLength, maxBasisSentences, maxGridIntensity, maxPowerUsageEffectiveness } from './limits.js';

/**
 * World average of 2024, in grams of CO2e a kilowatt hour: Ember, Global Electricity Review 2025. Whole life cycle, all
 * greenhouse gases. Countries lie between about 30 and 700: who knows theirs should set it.
 */
export const worldGridIntensity = 473;

/** The settings that convert a run's machine usage into energy and emissions. */
export const EnergySettings = z.object({
  /** Emissions of the electricity, g CO2e/kWh. */
  gridIntensity: z.number().min(0).max(maxGridIntensity),
  /** Power usage effectiveness: energy of the whole building by that of its computers. */
  powerUsageEffectiveness: z.number().min(1).max(maxPowerUsageEffectiveness),
  /** Watts of one busy core, where no sensor measures them; null uses the model's default. */
  wattsPerCore: z.number().positive().max(1000).nullable(),
});
export type EnergySettings = z.infer<typeof EnergySettings>;

const sentences = z.array(z.string().max(maxBasisLength)).max(maxBasisSentences);
/** The sources of a run's energy figures. */
export const EnergyBasis = z.object({
  /** Parts that a sensor measures, e.g. `CPU package by RAPL`. */
  measured: sentences,
  /** Parts that follow from a model, e.g. `memory at 0.392 W/GB`. */
  modelled: sentences,
  /** Caveats: why a part is not measured, what is left out, where a branch starts counting. */
  notes: sentences,
  gridIntensity: EnergySettings.shape.gridIntensity,
  powerUsageEffectiveness: EnergySettings.shape.powerUsageEffectiveness,
});
export type EnergyBasis = z.infer<typeof EnergyBasis>;

export const joulesPerKilowattHour = 3.6e6;
const joulesPerWattHour = joulesPerKilowattHour / 1000;

/** Rounds to two significant digits: `0.064`, `6.4`, `64`, `640`. */
const twoDigits = (value: number): string =>
  value === 0
    ? '0'
    : value >= 100
      ? Math.round(value).toLocaleString('en-US')
      : Number(value.toPrecision(2)).toString();
interface Scale {
  unit: string;
  by: number;
}
const scaleOf = (value: number, base: string): Scale =>
  value >= 1000
    ? { unit: `k${base}`, by: 1000 }
    : value < 0.1
      ? { unit: `m${base}`, by: 0.001 }
      : { unit: base, by: 1 };

/** Energy in watt hours, to two digits: `0.64 Wh`, `35 mWh`. */
export function formatEnergy(joules: number): string {
  const { unit, by } = scaleOf(joules / joulesPerWattHour, 'Wh');
  return `${twoDigits(joules / joulesPerWattHour / by)} ${unit}`;
}
/** A lower and an upper bound, in the unit of the value between: `0.31–1.6 Wh`. */
export function formatEnergyRange(joules: number, low: number, high: number): string {
  const { unit, by } = scaleOf(joules / joulesPerWattHour, 'Wh');
  return `${twoDigits(low / joulesPerWattHour / by)}–${twoDigits(high / joulesPerWattHour / by)} ${unit}`;
}
/** Emissions, to two digits: `0.3 g CO₂e`. */
export function formatEmissions(grams: number): string {
  const { unit, by } = scaleOf(grams, 'g');
  return `${twoDigits(grams / by)} ${unit} CO₂e`;
}
