import { format } from 'd3';

export const units = ['percent', 'nats', 'probability', 'milliseconds', 'ratio', 'rate', ''] as const;
export type Unit = (typeof units)[number];

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

/** A value with its unit as people read it, e.g. `48.2 %`, `0.151`, `143 ms`, `5e-4`; `–` for a value that is missing. */
export function formatValue(value: number | undefined, unit: Unit): string {
  if (value === undefined) return '–';
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? '∞' : '−∞';
  switch (unit) {
    case 'percent':
      return `${minus(value.toFixed(1))} %`;
    case 'ratio':
      return `${minus((value * 100).toFixed(Math.abs(value) < 0.001 && value !== 0 ? 3 : 2))} %`;
    case 'milliseconds':
      return value >= 10_000 ? formatDuration(value) : `${minus(value.toFixed(value < 10 ? 1 : 0))} ms`;
    case 'rate':
      return `${value.toFixed(value < 10 ? 2 : 1)} /s`;
    case 'nats':
      return `${plain(value)} nats`;
    default:
      return plain(value);
  }
}

/** A difference with its sign: percent values differ by percentage points (`−3.1 pp`). */
export function formatDelta(value: number, unit: Unit): string {
  const sign = value > 0 ? '+' : '';
  if (unit === 'percent') return `${sign}${minus(value.toFixed(1))} pp`;
  return sign + formatValue(value, unit);
}

/** A tick's label: short, the unit stands at the chart's title. */
export function formatTick(value: number, unit: Unit): string {
  if (value === 0) return '0';
  const shown = unit === 'ratio' ? value * 100 : value;
  const size = Math.abs(shown);
  if (size < 0.001 || size >= 1e6) return minus(shown.toExponential(1).replace('e+', 'e').replace('.0e', 'e'));
  if (size >= 10_000) return minus(format('~s')(shown));
  return minus(format('~r')(Number(shown.toPrecision(6))));
}

/** What stands beside a chart's title. */
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
/** `5e-4` as people write learning rates, to so many significant digits. */
export function formatLearningRate(rate: number, digits = 3): string {
  if (!Number.isFinite(rate) || rate === 0) return String(rate);
  const rounded = Number(rate.toPrecision(digits));
  return rounded >= 0.01 ? String(rounded) : rounded.toExponential().replace('e+', 'e');
}
export const formatClock = (wallTimeMs: number): string =>
  new Date(wallTimeMs).toLocaleTimeString('en-GB', { hour12: false });
/** `24 Nov 14:03`, with the year where it is another. */
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
