import { Rng } from '@plumbline/shared/rng';

/** Pictures are this wide and high, in pixels. */
export const pictureSize = 32;

export interface Example {
  /** 32*32*3 bytes, red green blue, row by row */
  image: Uint8Array;
  prompt: string;
  answer: string;
  /**
   * What the picture shows, apart from jitter in place, size and tint: by it the splits are told apart, and two questions
   * of a task with the same content are no two independent ones.
   */
  content: string;
}

export const splits = ['train', 'evaluation'] as const;
export type Split = (typeof splits)[number];

export interface Task {
  name: string;
  /** A held-out task is in the base model's training mix and never trained on afterwards; a target task is the reverse. */
  kind: 'held_out' | 'target';
  /** Expected accuracy of guessing among the answers, in percent. */
  chance: number;
  /** Draws one example. The two splits share no content, whatever the seed. */
  sample(rng: Rng, split: Split): Example;
}

/** 1 for the right answer, word by word, else 0. */
export function score(answer: string, example: Example): number {
  const words = (text: string): string => text.trim().split(/\s+/).join(' ');
  return words(answer) === words(example.answer) ? 1 : 0;
}

/** FNV-1a, mixed once more, since its low bits alone are uneven on short texts that differ in few places: 0 <= hash < 2^32 */
function hashOf(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 15;
  return Math.imul(hash, 0x2c1b3c6d) >>> 0;
}

/**
 * The split that content belongs to, decided by the content itself, so that no example can ever be in both.
 * @param oneIn one in so many goes to evaluation
 */
export const splitOf = (content: string, oneIn = 10): Split => (hashOf(content) % oneIn === 0 ? 'evaluation' : 'train');

/** Draws until the content falls into the split, and says which content it was; `oneIn` as for `splitOf`. */
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
 * Questions of the evaluation split: the same for the same seed. Each task draws numbers of its own, since tasks that
 * share a kind of picture would show the same pictures for the same numbers and be one sample.
 * @param seed any words
 */
export function drawQuestions(task: Task, seed: string, count: number): Example[] {
  const rng = new Rng(hashOf(`${seed} ${task.name}`));
  return Array.from({ length: count }, () => task.sample(rng, 'evaluation'));
}
