import { expect, it } from 'vitest';
import { formatEmissions, formatEnergy, formatEnergyRange } from './energy-words.js';

it('reads energy in watt hours, its range in the same unit, and emissions in grams', () => {
  expect([0, 36, 360, 2304, 230_400, 2_304_000, 4_320_000].map(formatEnergy)).toEqual([
    ...['0 mWh', '10 mWh', '0.1 Wh', '0.64 Wh', '64 Wh', '640 Wh', '1.2 kWh'],
  ]);
  expect(formatEnergyRange(2304, 115.2, 54_000)).toBe('0.032–15 Wh');
  expect(formatEnergyRange(4_320_000, 2_160_000, 8_640_000)).toBe('0.6–2.4 kWh');
  expect([0.0082, 0.3027, 45.2, 1500].map(formatEmissions)).toEqual([
    ...['8.2 mg CO₂e', '0.3 g CO₂e', '45 g CO₂e', '1.5 kg CO₂e'],
  ]);
});
