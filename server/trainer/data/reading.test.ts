import { describe, expect, it } from 'vitest';
import { Rng } from '@plumbline/shared/rng';
import { readingTask, readWords } from './reading.js';
import { pictureSize, splitOf } from './task.js';

/** Pixel sums by column. */
const columns = (image: Uint8Array): number[] =>
  Array.from({ length: pictureSize }, (_, x) => {
    let sum = 0;
    for (let y = 0; y < pictureSize; y++) sum += image[(y * pictureSize + x) * 3 + 1]!;
    return sum;
  });

describe('words to read', () => {
  it('are three capital letters, and each word is listed once', () => {
    expect(readWords.filter((word) => !/^[A-Z]{3}$/.test(word))).toEqual([]);
    expect(new Set(readWords).size).toBe(readWords.length);
  });

  it('are in training or in evaluation, never in both, and training has every letter of evaluation at its place', () => {
    const words = (split: 'train' | 'evaluation', seed: number): Set<string> => {
      const rng = new Rng(seed);
      return new Set(Array.from({ length: 3000 }, () => readingTask.sample(rng, split).answer.replaceAll(' ', '')));
    };
    const [train, evaluation] = [words('train', 1), words('evaluation', 2)];
    expect([...evaluation].filter((word) => train.has(word))).toEqual([]);
    expect(train.size + evaluation.size).toBe(readWords.length);
    expect(evaluation).toEqual(new Set(readWords.filter((word) => splitOf(word, 5) === 'evaluation')));
    expect(evaluation.size).toBeGreaterThan(25);
    const letters = (seen: Set<string>, place: number): Set<string> => new Set([...seen].map((word) => word[place]!));
    for (const place of [0, 1, 2]) {
      const taught = letters(train, place);
      expect([...letters(evaluation, place)].filter((letter) => !taught.has(letter))).toEqual([]);
    }
  });

  it('show their letters in order, each in its own columns', () => {
    const rng = new Rng(3);
    for (let i = 0; i < 300; i++) {
      const { image, answer } = readingTask.sample(rng, 'train');
      const ink = columns(image);
      const background = image[1]! * pictureSize;
      const inked = ink.map((sum) => sum > background + 60);
      expect(inked.slice(25)).not.toContain(true);
      for (const [index, letter] of answer.split(' ').entries()) {
        const column = inked.slice(index * 8, (index + 1) * 8);
        expect(column.filter(Boolean).length, `${letter} of ${answer}`).toBeGreaterThanOrEqual(2);
      }
    }
  });
});
