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

/** Whether a run has this name, or is a branch that was named after it by itself. */
export const goesByName = ({ config, parent }: Pick<RunSummary, 'config' | 'parent'>, name: string): boolean =>
  config.name === name || (parent !== null && config.name === branchName(name, parent.step));

/** Whether a branch's name says already at which step it begins. */
export const saysItsStep = ({ config, parent }: Pick<RunSummary, 'config' | 'parent'>): boolean =>
  parent !== null && config.name === branchName(config.name, parent.step);
