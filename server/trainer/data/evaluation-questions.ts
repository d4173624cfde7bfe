import { createHash } from 'node:crypto';
import { heldOutTasks } from './held-out-tasks.js';
import { targetTasks } from './target-tasks.js';
import { drawQuestions, type Example } from './task.js';

/**
 * The questions of an evaluation, target tasks first: of every task, from its evaluation split, the same in the same
 * order for the same seed. A study's report reads their contents here, without a model.
 * @param seed a configuration's `evaluationSeed` @param questionsPerTask its `evaluationQuestions`, at least 1
 */
export const evaluationQuestions = (seed: number, questionsPerTask: number): { task: string; examples: Example[] }[] =>
  [...targetTasks, ...heldOutTasks].map((task) => ({
    task: task.name,
    examples: drawQuestions(task, `evaluation ${seed}`, questionsPerTask),
  }));

/**
 * A digest of what a task's questions are about, in the order in which they are asked: answers that are kept tell by it
 * whether the questions drawn now are theirs. @returns 16 hexadecimal digits
 */
export const contentDigest = (contents: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(contents)).digest('hex').slice(0, 16);
