import { heldOutAccuracy, metrics, targetTaskOf } from '@plumbline/shared/metric';
import { tasksOfKind } from '@plumbline/shared/run-tasks';
import type { RunTask } from '@plumbline/shared/run-description';
import type { SeriesFacts } from '@plumbline/shared/series';

/** The names that say most about a run, in the order in which a list shows them. */
const telling: readonly string[] = [metrics.loss, metrics.heldOutMean, metrics.numberTokensHeldOut, metrics.kl];
/** A run with fewer telling series gets its best ranked others up to this number. */
const leastHeadlines = 4;
export const maxHeadlines = 8;

/** Names that may be headlines before the trainer has sent them. */
export const tellingSeries = telling;

/** Whether a series is always a headline where a run has it. */
export const isTelling = (name: string): boolean => telling.includes(name) || targetTaskOf(name) !== undefined;

/** What ranks a run's other series. */
export interface HeadlineFacts {
  tasks: readonly RunTask[];
  /** The newest declaration of a series. */
  declared: ReadonlyMap<string, SeriesFacts>;
}

/**
 * The rank of a series that is not telling, lowest first: held-out tasks of the run's description and series with a
 * `better`; then series with a label; then all others.
 */
export function rankOf(name: string, { tasks, declared }: HeadlineFacts): number {
  const facts = declared.get(name);
  if (facts?.better !== undefined) return 0;
  if (tasksOfKind({ tasks: [...tasks] }, 'held_out').some((task) => heldOutAccuracy(task.name) === name)) return 0;
  return facts?.label === undefined ? 2 : 1;
}

/**
 * The series that a list shows of a run: the telling ones, then the best ranked others.
 * @param named the run's series, in the order in which its trainer named them
 */
export function headlinesOf(named: readonly string[], facts: HeadlineFacts): string[] {
  const known = new Set(named);
  const chosen = [
    ...telling.filter((name) => known.has(name)),
    ...named.filter((name) => targetTaskOf(name) !== undefined),
  ].slice(0, maxHeadlines);
  const others = named
    .filter((name) => !isTelling(name))
    .map((name) => ({ name, rank: rankOf(name, facts) }))
    .sort((a, b) => a.rank - b.rank)
    .map(({ name }) => name);
  return [...chosen, ...others.slice(0, Math.max(0, leastHeadlines - chosen.length))];
}
