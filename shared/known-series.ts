import type { SeriesFacts } from './series.js';
import { closestName } from './closest-name.js';
import type { GuardRule } from './rule.js';

/** The series that a rule can watch. */
export interface KnownSeries {
  names: readonly string[];
  /** The list is complete, as for a run of the built-in trainer. Other trainers may send more. */
  areAll: boolean;
  /** Their units by name, where known. */
  units?: ReadonlyMap<string, string>;
}

/** The units of series, by name. */
export const unitsOf = (series: Iterable<SeriesFacts>): Map<string, string> =>
  new Map([...series].flatMap(({ name, unit }) => (unit === undefined ? [] : [[name, unit] as const])));

/** A warning about an unknown series, with the name that was probably meant; empty for a known series. */
export function unknownWords(metric: string, { names, areAll }: KnownSeries): string {
  const typed = metric.trim();
  if (typed === '' || names.length === 0 || names.includes(typed)) return '';
  const meant = closestName(typed, names);
  const hint = meant === null ? '' : `: did you mean ${meant}?`;
  if (areAll) return `No run of these tasks has the series “${typed}”${hint || '.'}`;
  return `This run has had no value of “${typed}” so far${hint || '.'}`;
}

/** The warnings for all series that a rule names, each once: the watched one, and those that choose a checkpoint. */
export function unknownSeriesOf({ metric, actions }: GuardRule, series: KnownSeries): string[] {
  const named = [metric, ...actions.flatMap((action) => ('metric' in action ? [action.metric] : []))];
  return [...new Set(named)].map((name) => unknownWords(name, series)).filter((words) => words !== '');
}
