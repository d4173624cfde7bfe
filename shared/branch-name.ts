import type { RunSummary } from './run.js';

/** The longest name of a run, and of a branch that is named after it. */
export const maxNameLength = 80;

const suffix = /, from step [\d,]+$/;

/**
 * The default name of a branch: `Counting, from step 120`. A branch of a branch is named after the root run. A name that is
 * too long is cut.
 */
export function branchName(name: string, step: number): string {
  const from = `, from step ${step.toLocaleString('en-US')}`;
  const whole = name.replace(suffix, '');
  const room = maxNameLength - from.length;
  return (whole.length <= room ? whole : `${whole.slice(0, room - 1).trimEnd()}…`) + from;
}

/**
 * The runs with this name, and the branches that continue them under a default name. The name of a branch alone is not
 * enough: two long names may be cut to the same text.
 */
export function runsNamed<R extends Pick<RunSummary, 'runId' | 'description' | 'parent'>>(
  runs: readonly R[],
  name: string,
): R[] {
  const byId = new Map(runs.map((run) => [run.runId, run]));
  /** Whether each run belongs, by id; undefined until it is known. */
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

/** Whether a branch's name already says at which step it begins. */
export const saysItsStep = ({ description, parent }: Pick<RunSummary, 'description' | 'parent'>): boolean =>
  parent !== null && description.name === branchName(description.name, parent.step);
