import type { RunConfig } from '@plumbline/shared/built-in/run-config';
import type { Contents } from '../analysis/bootstrap.js';
import { contentDigest, evaluationQuestions } from '../trainer/data/evaluation-questions.js';
import type { AskedQuestions } from './study-results.js';

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

/** By what a study's results tell these questions from others. @param contents of the questions of this configuration */
export const askedQuestions = (
  { evaluationSeed }: Pick<RunConfig, 'evaluationSeed'>,
  contents: Contents,
): AskedQuestions => ({
  evaluationSeed,
  contents: Object.fromEntries(Object.entries(contents).map(([task, of]) => [task, contentDigest(of)])),
});
