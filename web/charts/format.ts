import { format } from 'd3';

export const units = ['percent', 'nats', 'probability', 'milliseconds', 'ratio', 'rate', ''] as const;
export type Unit = (typeof units)[number];

const unitsByWord = new Map<string, Unit>([
  ['%', 'percent'],
  ['nats', 'nats'],
  ['probability', 'probability'],
  ['ms', 'milliseconds'],
]);
/** The unit of a declared series that charts draw in a form of its own; empty for all others. */
export const unitNamed = (word: string | undefined): Unit => unitsByWord.get(word ?? '') ?? '';

/** A leading hyphen as a real minus sign; an exponent keeps its own. */
const minus = (text: string): string => text.replace(/^-/, '−');
const grouped = format(',');

function plain(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 0.001 || size >= 1e6)
    return minus(
      value
        .toExponential(2)
        .replace('e+', 'e')
        .replace(/\.?0+e/, 'e'),
    );
  if (size >= 1000) return minus(grouped(Math.round(value)));
  return minus(value.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : 3));
}

/**
 * The float32 epsilon, 2^-23. Probabilities are measured in float32 and add up to 1, so a smaller divergence is their
 * rounding error.
 */
const float32Epsilon = 2 ** -23;
/** A divergence in nats, 0 if it is within the rounding error of the probabilities. */
export const withoutRounding = (nats: number): number => (Math.abs(nats) < float32Epsilon ? 0 : nats);

/** A value with its unit as people read it, e.g. `48.2 %`, `0.151`, `143 ms`, `5e-4`; `–` for a value that is missing. */
export function formatValue(value: number | undefined, unit: Unit): string {
  if (value === undefined) return '–';
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '−∞';
  const isHuge = Math.abs(value) >= 1e12;
  switch (unit) {
    case 'percent':
      return `${isHuge ? plain(value) : minus(value.toFixed(1))} %`;
    case 'ratio':
      // Nobody reads a ratio of a trillion in percent.
      if (isHuge) return `${plain(value)} ×`;
      return `${minus((value * 100).toFixed(Math.abs(value) < 0.001 && value !== 0 ? 3 : 2))} %`;
    case 'milliseconds':
      if (isHuge) return `${plain(value)} ms`;
      return value >= 10_000 ? formatDuration(value) : `${minus(value.toFixed(value < 10 ? 1 : 0))} ms`;
    case 'rate':
      return `${isHuge ? plain(value) : value.toFixed(value < 10 ? 2 : 1)} /s`;
    case 'nats':
      return `${plain(withoutRounding(value))} nats`;
    default:
      return plain(value);
  }
}

/** A difference with its sign: percent values differ by percentage points (`−3.1 pp`). */
export function formatDelta(value: number, unit: Unit): string {
  const sign = value > 0 ? '+' : '';
  if (unit === 'percent' && Math.abs(value) < 1e12) return `${sign}${minus(value.toFixed(1))} pp`;
  return sign + formatValue(value, unit);
}

/** The labels of an axis. They have no unit, as the chart's title has it. Small ones share one form: `8e-4`, `1.2e-3`. */
export function formatTicks(ticks: readonly number[], unit: Unit): string[] {
  const shown = ticks.map((tick) => (unit === 'ratio' ? tick * 100 : tick));
  const sizes = shown.map(Math.abs).filter((size) => size > 0);
  const areSmall = Math.min(...sizes) < 0.001 && Math.max(...sizes) < 0.01;
  let labels: string[] = [];
  // As few digits as tell the ticks apart.
  for (let digits = 1; digits <= 6; digits++) {
    labels = shown.map((tick) => formatTick(tick, areSmall, digits));
    if (new Set(labels).size === labels.length) break;
  }
  return labels;
}

function formatTick(shown: number, isOfSmall: boolean, digits: number): string {
  if (shown === 0) return '0';
  const size = Math.abs(shown);
  if (isOfSmall || size < 0.001 || size >= 1e6)
    return minus(
      shown
        .toExponential(digits)
        .replace('e+', 'e')
        .replace(/\.?0+e/, 'e'),
    );
  if (size >= 10_000) return minus(format('~s')(shown));
  return minus(format('~r')(Number(shown.toPrecision(6))));
}

/** The unit as a chart's title shows it. */
export const unitLabel: Record<Unit, string> = {
  percent: '%',
  nats: 'nats',
  probability: 'probability',
  milliseconds: 'ms',
  ratio: '%',
  rate: '1/s',
  '': '',
};

export function formatDuration(milliseconds: number): string {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${String(seconds % 60).padStart(2, '0')} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${String(minutes % 60).padStart(2, '0')} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

export const formatStep = (step: number): string => grouped(Math.round(step));
/** A count of parameters: `684k`, `7.1M`. */
export const formatCount = (count: number): string => (count < 1000 ? String(count) : format('.3~s')(count));
/** A learning rate as people write it, `5e-4`, with so many significant digits. */
export function formatLearningRate(rate: number, digits = 3): string {
  if (!Number.isFinite(rate) || rate === 0) return String(rate);
  const rounded = Number(rate.toPrecision(digits));
  return rounded >= 0.01 ? String(rounded) : rounded.toExponential().replace('e+', 'e');
}
const longestName = 20;
/** A long name without its middle, `Counting… step 850`: runs of one family differ at the end, others at the start. */
export const shortName = (name: string): string =>
  name.length <= longestName ? name : `${name.slice(0, 8).trimEnd()}… ${name.slice(-11).replace(/^\S*\s/, '')}`;

/** `14:03:07`; `–` for an invalid time, such as nanoseconds in place of milliseconds. */
export const formatClock = (wallTimeMs: number): string =>
  isTime(wallTimeMs) ? new Date(wallTimeMs).toLocaleTimeString('en-GB', { hour12: false }) : '–';
/** The value of `<time dateTime>`; undefined for an invalid time. */
export const isoTime = (wallTimeMs: number): string | undefined =>
  isTime(wallTimeMs) ? new Date(wallTimeMs).toISOString() : undefined;
const isTime = (wallTimeMs: number): boolean => !Number.isNaN(new Date(wallTimeMs).getTime());
/** `24 Nov 14:03`, with the year if it is not the current one. */
export function formatWhen(wallTimeMs: number, nowMs: number): string {
  const when = new Date(wallTimeMs);
  const isThisYear = when.getFullYear() === new Date(nowMs).getFullYear();
  const day = when.toLocaleDateString('en-GB', {
    day: 'numeric',
    month: 'short',
    ...(!isThisYear && { year: 'numeric' }),
  });
  return `${day} ${when.toLocaleTimeString('en-GB', { hour: '2-digit', minute: '2-digit' })}`;
}
