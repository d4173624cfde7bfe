import { z } from 'zod';

/**
 * World average of 2024, in grams of CO2e a kilowatt hour: Ember, Global Electricity Review 2025. Whole life cycle, all
 * greenhouse gases. Countries lie between about 30 and 700: who knows theirs should set it.
 */
export const worldGridIntensity = 473;

/** What turns a run's use of a machine into energy and emissions, as far as a person has to say it. */
export const EnergySettings = z.object({
  /** Emissions of the electricity, g CO2e/kWh. */
  gridIntensity: z.number().min(0).max(3000),
  /** Power usage effectiveness: energy of the whole building by that of its computers. */
  powerUsageEffectiveness: z.number().min(1).max(5),
  /** Watts of one busy core where they have to be modelled; null takes the model's own. */
  wattsPerCore: z.number().positive().max(1000).nullable(),
});
export type EnergySettings = z.infer<typeof EnergySettings>;

export const maxBasisLength = 400;
const sentences = z.array(z.string().max(maxBasisLength)).max(16);
/** What a run's energy rests on. */
export const EnergyBasis = z.object({
  /** Parts that a sensor measures, e.g. `CPU package by RAPL`. */
  measured: sentences,
  /** Parts that follow from a model, e.g. `memory at 0.392 W/GB`. */
  modelled: sentences,
  /** What a reader has to know beside: why a part is not measured, what is left out, where a branch counts from. */
  notes: sentences,
  gridIntensity: EnergySettings.shape.gridIntensity,
  powerUsageEffectiveness: EnergySettings.shape.powerUsageEffectiveness,
});
export type EnergyBasis = z.infer<typeof EnergyBasis>;

export const joulesPerKilowattHour = 3.6e6;
