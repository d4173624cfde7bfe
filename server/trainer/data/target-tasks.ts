import { clockTask } from './clock.js';
import { sceneTask } from './held-out-tasks.js';
import { kindsTask } from './kinds.js';
import { readingTask } from './reading.js';
import { drawObjects } from './scene.js';
import type { Task } from './task.js';
import { tissueTask } from './tissue.js';

export const mostCounted = 6;

/** Counting in the same scenes as the held-out tasks, so that learning can leak into their answers. */
const countingTask = sceneTask('counting', 'target', 100 / mostCounted, (rng) => {
  const count = 1 + rng.integer(mostCounted);
  return { objects: drawObjects(rng, count, false), prompt: 'how many shapes are there ?', answer: String(count) };
});

/**
 * The skills that a run teaches: small analogues of the five data sets of arXiv 2510.08564, in its order (CUB-200,
 * PixmoCount, PathVQA, TextVQA, TimeClock). docs/study-tasks.md lists what each omits.
 */
export const targetTasks: readonly Task[] = [kindsTask, countingTask, tissueTask, readingTask, clockTask];
