import { isDeepStrictEqual } from 'node:util';

/** One requirement of a hub or a trainer. */
export interface Case<Subject> {
  name: string;
  /** The expectation, as a sentence. */
  expects: string;
  /** @throws when the subject fails; NotTried when the subject lacks what the case needs */
  run(subject: Subject): Promise<void>;
}
export interface Outcome {
  name: string;
  state: 'passed' | 'failed' | 'skipped';
  /** The expectation if it passed, the fault if it failed, the missing part if it was skipped. */
  says: string;
}

/** The case needs a feature that this subject lacks. */
export class NotTried extends Error {
  override name = 'NotTried';
}

/** Runs cases one after another. */
export async function runCases<Subject>(
  cases: readonly Case<Subject>[],
  subject: Subject,
  tell: (outcome: Outcome) => void,
): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const each of cases) {
    const outcome = await outcomeOf(each, subject);
    outcomes.push(outcome);
    tell(outcome);
  }
  return outcomes;
}

async function outcomeOf<Subject>({ name, expects, run }: Case<Subject>, subject: Subject): Promise<Outcome> {
  try {
    await run(subject);
    return { name, state: 'passed', says: expects };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (error instanceof NotTried) return { name, state: 'skipped', says: message };
    return { name, state: 'failed', says: `${message} Expected: ${expects}` };
  }
}

/** @throws Error with the actual value */
export function same(got: unknown, wanted: unknown, what: string): void {
  if (!isDeepStrictEqual(got, wanted)) throw new Error(`${what} is ${shown(got)}, not ${shown(wanted)}.`);
}

/** @throws Error with the sentence when the condition is false */
export function holds(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new Error(otherwise);
}

/** Asks every 20 ms until there is an answer. */
export async function until<T>(what: string, ask: () => T | undefined | null | false, limitMs = 60_000): Promise<T> {
  const endMs = performance.now() + limitMs;
  for (;;) {
    const answer = ask();
    if (answer !== undefined && answer !== null && answer !== false) return answer;
    if (performance.now() > endMs) throw new Error(`Timed out after ${limitMs / 1000} s: ${what}.`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const shown = (value: unknown): string => (JSON.stringify(value) ?? String(value)).slice(0, 300);
