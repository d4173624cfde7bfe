import type { EvaluationsResponse } from '@plumbline/shared/http';
import { entryOf } from '@plumbline/shared/record';
import type { ControlEvent, EvaluationCompleted } from '@plumbline/shared/trainer-event';
import { pairedDifferenceInterval, wilsonInterval, type Ends } from './proportion-interval.js';

type TaskEvaluations = EvaluationsResponse['tasks'][number];

/**
 * What a run's evaluations come to, task by task in alphabetical order: the base model first, then each stage and, after
 * it, each weight between the base and the trained model, in the order in which they were asked. Of what was evaluated
 * twice, both are there. Questions count as independent of each other: where several are about the same thing, as the
 * same word in another picture, intervals are too narrow, and a study's report, which knows of that, is the better word.
 */
export function evaluationTable(events: readonly ControlEvent[]): TaskEvaluations[] {
  const evaluations = events.filter((event) => event.type === 'evaluation_completed');
  const base = evaluations.find(({ stage }) => stage === null)?.right;
  const tasks = [...new Set(evaluations.flatMap(({ right }) => Object.keys(right)))].sort();
  return tasks.map((task) => ({
    task,
    evaluations: evaluations.flatMap((evaluation) => rowOf(evaluation, base && entryOf(base, task), task)),
  }));
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
