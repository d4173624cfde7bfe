import { Rng } from '@plumbline/shared/rng';

/** Width and height of pictures, in pixels. */
export const pictureSize = 32;

/** A question that a built-in task has drawn, with its answer. */
export interface DrawnQuestion {
  /** 32*32*3 bytes, red green blue, row by row */
  image: Uint8Array;
  prompt: string;
  answer: string;
  /**
   * The content of the picture, without jitter in place, size and tint. It decides the split, and two questions of a
   * task with the same content are not independent.
   */
  content: string;
}

export const splits = ['train', 'evaluation'] as const;
export type Split = (typeof splits)[number];

export interface Task {
  name: string;
  /** A held-out task is in the base model's training mix and never trained afterwards; a target task is the reverse. */
  kind: 'held_out' | 'target';
  /** Expected accuracy of guessing among the answers, in percent. */
  chance: number;
  /** Draws one example. The two splits share no content, for any seed. */
  sample(rng: Rng, split: Split): DrawnQuestion;
}

/** FNV-1a with one more mixing step, since its low bits are uneven on short similar texts: 0 <= hash < 2^32 */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 15;
  return Math.imul(hash, 0x2c1b3c6d) >>> 0;
}

/**
 * The split of a content, decided by the content itself, so that no example can be in both.
 * @param oneIn one in this many goes to evaluation
 */
export const splitOf = (content: string, oneIn = 10): Split => (hashOf(content) % oneIn === 0 ? 'evaluation' : 'train');

/** Draws until the content falls into the split, and returns it; `oneIn` as in `splitOf`. */
export function drawInSplit<T>(
  split: Split,
  draw: () => T,
  contentOf: (drawn: T) => string,
  oneIn?: number,
): { drawn: T; content: string } {
  for (;;) {
    const drawn = draw();
    const content = contentOf(drawn);
    if (splitOf(content, oneIn) === split) return { drawn, content };
  }
}

/**
 * Draws questions of the evaluation split, the same for the same seed. Each task has its own random numbers: with the
 * same numbers, tasks with the same kind of picture would show the same pictures and be one sample.
 * @param seed any text
 */
export function drawQuestions(task: Task, seed: string, count: number): DrawnQuestion[] {
  const rng = new Rng(hashOf(`${seed} ${task.name}`));
  return Array.from({ length: count }, () => task.sample(rng, 'evaluation'));
}
