import { createHash } from 'node:crypto';
import { heldOutTasks } from './held-out-tasks.js';
import { targetTasks } from './target-tasks.js';
import { drawQuestions, type DrawnQuestion } from './task.js';

/**
 * The questions of an evaluation, target tasks first: from every task's evaluation split, the same in the same order
 * for the same seed. A study's report reads their contents here, without a model.
 * @param seed a configuration's `evaluationSeed` @param questionsPerTask its `evaluationQuestions`, at least 1
 */
export const evaluationQuestions = (
  seed: number,
  questionsPerTask: number,
): { task: string; examples: DrawnQuestion[] }[] =>
  [...targetTasks, ...heldOutTasks].map((task) => ({
    task: task.name,
    examples: drawQuestions(task, `evaluation ${seed}`, questionsPerTask),
  }));

/**
 * A digest of the contents of a task's questions, in order. Stored answers are matched by it to the questions drawn
 * now. @returns 16 hexadecimal digits
 */
export const contentDigest = (contents: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(contents)).digest('hex').slice(0, 16);
