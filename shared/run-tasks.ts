import { targetTaskOf } from './metric-names.js';
import type { RunDescription, RunTask, TaskKind } from './run-description.js';

export const tasksOfKind = ({ tasks }: Pick<RunDescription, 'tasks'>, kind: TaskKind): RunTask[] =>
  tasks.filter((task) => task.kind === kind);

/** The label of a task, or its name if it has none. */
export const taskLabel = (
  { tasks }: Pick<RunDescription, 'tasks'>,
  name: string,
  kind: TaskKind = 'target',
): string => {
  const named = tasks.filter((task) => task.name === name);
  return (named.find((task) => task.kind === kind) ?? named[0])?.label ?? name;
};

/** The target tasks of a run; if it names none, the tasks whose target accuracy is among its series. */
export function targetNames(description: Pick<RunDescription, 'tasks'>, series: Iterable<string>): string[] {
  const named = tasksOfKind(description, 'target').map(({ name }) => name);
  if (named.length > 0) return named;
  return [...series].flatMap((name) => targetTaskOf(name) ?? []);
}
