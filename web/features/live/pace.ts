import type { Columns } from '../../charts/columns';

const window = 60;

/**
 * The current speed of a run, from the end times of its last steps. Probes count, pauses do not.
 * @param times the series `wallTimeSeries`
 * @returns steps a second, or null before three steps
 */
export function stepsPerSecond(times: Columns): number | null {
  const from = Math.max(1, times.length - window);
  const spans: { steps: number; ms: number }[] = [];
  for (let index = from; index < times.length; index++) {
    const steps = times.steps[index]! - times.steps[index - 1]!;
    const ms = times.values[index]! - times.values[index - 1]!;
    if (steps > 0 && ms >= 0) spans.push({ steps, ms });
  }
  if (spans.length < 2) return null;
  const typical = spans.map(({ steps, ms }) => ms / steps).sort((a, b) => a - b)[Math.floor(spans.length / 2)]!;
  // A step that took thirty times the usual time was a pause, or the computer slept.
  const going = spans.filter(({ steps, ms }) => ms / steps <= 30 * typical + 1);
  const ms = going.reduce((sum, span) => sum + span.ms, 0);
  return ms > 0 ? (1000 * going.reduce((sum, span) => sum + span.steps, 0)) / ms : null;
}
