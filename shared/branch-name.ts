import { maxNameLength, type RunSummary } from './run.js';

const suffix = /, from step [\d,]+$/;

/**
 * The name that a branch gets where nobody gives it one: `Counting, from step 120`. A branch of a branch is named after
 * the run that both come from; a name that would be too long is cut.
 */
export function branchName(name: string, step: number): string {
  const from = `, from step ${step.toLocaleString('en-US')}`;
  const whole = name.replace(suffix, '');
  const room = maxNameLength - from.length;
  return (whole.length <= room ? whole : `${whole.slice(0, room - 1).trimEnd()}…`) + from;
}

/**
 * Those of some runs that have this name, and the branches that they were continued as: of one of them, and named after
 * it by itself. The name of a branch alone does not tell: long names may be cut to the same.
 */
export function runsNamed<R extends Pick<RunSummary, 'runId' | 'config' | 'parent'>>(
  runs: readonly R[],
  name: string,
): R[] {
  const byId = new Map(runs.map((run) => [run.runId, run]));
  const isOne = ({ config, parent }: R): boolean => {
    if (config.name === name) return true;
    const from = parent && byId.get(parent.runId);
    return !!from && config.name === branchName(from.config.name, parent.step) && isOne(from);
  };
  return runs.filter(isOne);
}

/** Whether a branch's name says already at which step it begins. */
export const saysItsStep = ({ config, parent }: Pick<RunSummary, 'config' | 'parent'>): boolean =>
  parent !== null && config.name === branchName(config.name, parent.step);
