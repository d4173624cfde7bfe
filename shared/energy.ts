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
