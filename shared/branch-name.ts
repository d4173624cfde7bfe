import type { RunSummary } from './run.js';

/** A name is at most so long for a branch of it to be named after it whole. */
export const maxNameLength = 80;

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
export function runsNamed<R extends Pick<RunSummary, 'runId' | 'description' | 'parent'>>(
  runs: readonly R[],
  name: string,
): R[] {
  const byId = new Map(runs.map((run) => [run.runId, run]));
  /** By run id, whether it is one; undefined until that is found out. */
  const known = new Map<string, boolean>();
  return runs.filter((run) => {
    const line: R[] = [];
    const seen = new Set<R>();
    let isOne: boolean | undefined;
    for (let at: R = run; isOne === undefined;) {
      line.push(at);
      seen.add(at);
      const from: R | undefined = at.parent ? byId.get(at.parent.runId) : undefined;
      if (at.description.name === name) isOne = true;
      else if (known.has(at.runId)) isOne = known.get(at.runId)!;
      // Stored runs may name each other as parents in a circle: it ends here.
      else if (!from || seen.has(from) || at.description.name !== branchName(from.description.name, at.parent!.step))
        isOne = false;
      else at = from;
    }
    for (const { runId } of line) known.set(runId, isOne);
    return isOne;
  });
}

/** Whether a branch's name says already at which step it begins. */
export const saysItsStep = ({ description, parent }: Pick<RunSummary, 'description' | 'parent'>): boolean =>
  parent !== null && description.name === branchName(description.name, parent.step);
