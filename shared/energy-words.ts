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
