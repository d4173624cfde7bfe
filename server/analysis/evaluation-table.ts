import type { EvaluationsResponse } from '@plumbline/shared/http';
import { entryOf } from '@plumbline/shared/record';
import type { EvaluationCompleted } from '@plumbline/shared/trainer-event';
import { pairedDifferenceInterval, wilsonInterval, type Ends } from './proportion-interval.js';

type TaskEvaluations = EvaluationsResponse['tasks'][number];

/**
 * A run's evaluations by task: the base model first, then each stage and, after it, each weight between the base and the
 * trained model, in the order of their events. An evaluation that was repeated has a row each time.
 * Intervals assume independent questions. They are too narrow where several questions are about the same thing, for
 * instance the same word in another picture; a study's report takes that into account.
 */
export class EvaluationTable {
  readonly #rows = new Map<string, TaskEvaluations['evaluations']>();
  #base: EvaluationCompleted['right'] | undefined;
  /** Evaluations that came before the base model's. */
  #early: EvaluationCompleted[] = [];

  /** Adds the next evaluation. It keeps its figures, not its answers, once the base model's are known. */
  add(evaluation: EvaluationCompleted): void {
    if (this.#base === undefined && evaluation.stage === null) this.#base = evaluation.right;
    this.#early.push(evaluation);
    if (this.#base !== undefined) this.#addEarly();
  }

  /** The tasks in alphabetical order, after the last evaluation was added. */
  get tasks(): TaskEvaluations[] {
    this.#addEarly();
    return [...this.#rows].sort(([a], [b]) => (a < b ? -1 : 1)).map(([task, evaluations]) => ({ task, evaluations }));
  }

  #addEarly(): void {
    for (const evaluation of this.#early.splice(0))
      for (const task of Object.keys(evaluation.right)) {
        const rows = this.#rows.get(task) ?? [];
        this.#rows.set(task, rows);
        rows.push(...rowOf(evaluation, this.#base && entryOf(this.#base, task), task));
      }
  }
}

function rowOf(
  { seq, step, stage, weight, right }: EvaluationCompleted,
  base: string | undefined,
  task: string,
): TaskEvaluations['evaluations'] {
  const answers = entryOf(right, task);
  if (answers === undefined) return [];
  const [asked, count] = [answers.length, rightIn(answers)];
  const row = { seq, step, stage, weight, asked, right: count };
  const accuracy = inPercent(count / asked, wilsonInterval(count, asked));
  return [{ ...row, accuracy, againstBase: stage === null ? null : difference(answers, base) }];
}

/** Null where the base model was not asked the same questions. */
function difference(answers: string, base: string | undefined): TaskEvaluations['evaluations'][number]['againstBase'] {
  if (base?.length !== answers.length) return null;
  const pairs = { bothRight: 0, gained: 0, lost: 0, bothWrong: 0 };
  for (let i = 0; i < answers.length; i++) {
    const [now, before] = [answers[i] === '1', base[i] === '1'];
    pairs[now ? (before ? 'bothRight' : 'gained') : before ? 'lost' : 'bothWrong']++;
  }
  const { gained, lost } = pairs;
  return { ...inPercent((gained - lost) / answers.length, pairedDifferenceInterval(pairs)), gained, lost };
}

const rightIn = (answers: string): number => answers.split('1').length - 1;

const inPercent = (estimate: number, { low, high }: Ends): { estimate: number; low: number; high: number } => ({
  estimate: 100 * estimate,
  low: 100 * low,
  high: 100 * high,
});
