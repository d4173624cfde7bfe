import type { RunConfig } from '@plumbline/shared/run';
import type { Contents } from '../analysis/bootstrap.js';
import { evaluationQuestions } from '../trainer/data/evaluation-questions.js';

/**
 * What the questions that runs of this configuration are asked are about, by task. They follow from it alone, so runs
 * that were made long ago have contents too.
 */
export const questionContents = ({
  evaluationSeed,
  evaluationQuestions: count,
}: Pick<RunConfig, 'evaluationSeed' | 'evaluationQuestions'>): Contents =>
  Object.fromEntries(
    evaluationQuestions(evaluationSeed, count).map(({ task, examples }) => [
      task,
      examples.map(({ content }) => content),
    ]),
  );
