import type { Rng } from '@plumbline/shared/rng';

/** Pictures are this wide and high, in pixels. */
export const pictureSize = 32;

export interface Example {
  /** 32*32*3 bytes, red green blue, row by row */
  image: Uint8Array;
  prompt: string;
  answer: string;
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

/**
 * The split that content belongs to: one in ten goes to evaluation, decided by the content itself (FNV-1a), so that
 * no example can ever be in both.
 */
export function splitOf(content: string): Split {
  let hash = 0x811c9dc5;
  for (let i = 0; i < content.length; i++) hash = Math.imul(hash ^ content.charCodeAt(i), 0x01000193);
  // FNV's low bits alone are uneven on short texts that differ in few places.
  hash ^= hash >>> 15;
  return (Math.imul(hash, 0x2c1b3c6d) >>> 0) % 10 === 0 ? 'evaluation' : 'train';
}

/** Draws until the content falls into the split. */
export function drawInSplit<T>(split: Split, draw: () => T, content: (drawn: T) => string): T {
  for (;;) {
    const drawn = draw();
    if (splitOf(content(drawn)) === split) return drawn;
  }
}
