/** JSON has no NaN and no Infinity. On the wire these words stand for them, so that a diverged loss is not lost. */
export const nonFiniteWords = ['NaN', 'Infinity', '-Infinity'] as const;
type NonFiniteWord = (typeof nonFiniteWords)[number];

export function toWireNumber(value: number): number | NonFiniteWord {
  return Number.isFinite(value) ? value : (String(value) as NonFiniteWord);
}

export function fromWireNumber(value: number | NonFiniteWord): number {
  return typeof value === 'number' ? value : Number(value);
}

/**
 * Training computes in float32, which ends at 3.4e38. A larger value is an overflow: trackers that cannot store Infinity
 * store the largest number of their type.
 */
export const largestMeasured = 1e38;

/** Whether a value was measured: not NaN, not infinite, and not an overflow. */
export const isMeasured = (value: number): boolean => Math.abs(value) <= largestMeasured;

/** A number in running text: four significant digits, with a real minus sign; an exponent keeps its own. */
export function fourDigits(value: number): string {
  const digits = value.toPrecision(4);
  // Rounding up the largest numbers gives Infinity.
  const isTooLarge = Number.isFinite(value) && !Number.isFinite(Number(digits));
  return (isTooLarge ? digits : String(Number(digits))).replace(/^-/, '−');
}

/** The suffix of a value, or of a difference of two values: `%` and `pp`; empty for a bare number. */
export const unitWords = (unit: string | undefined, isDifference: boolean): string =>
  unit === '%' && isDifference ? 'pp' : (unit ?? '');

/** A value in running text, or a difference of two, with its unit: `52.6 %`, `−40.1 pp`, `1.377 nats`, `0.061`. */
export function measuredWords(value: number, unit: string | undefined, isDifference = false): string {
  // The place of a probability says its unit.
  const isBare = unit === 'probability' || !Number.isFinite(value);
  const words = isBare ? '' : unitWords(unit, isDifference);
  return words === '' ? fourDigits(value) : `${fourDigits(value)} ${words}`;
}
