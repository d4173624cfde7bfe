import { expect, it } from 'vitest';
import type { DrawnQuestion } from '../../data/task.js';
import { builtInTokenizer } from '../../data/vocabulary.js';
import { noLabel } from '../model.js';
import { patchesOf, prepareQuestion } from './processing.js';

const tokenizer = builtInTokenizer();
const question: DrawnQuestion = {
  image: new Uint8Array(32 * 32 * 3).fill(255),
  prompt: 'what time is it ?',
  answer: '3 : 15',
  content: '3:15',
};

it('asks for 3, :, 15 and the end after 16 visual tokens and "what time is it ?"', () => {
  const { ids, labels, pictures } = prepareQuestion(question, tokenizer);
  const answer = [...tokenizer.encode('3 : 15'), tokenizer.endId];
  const prompt = [...new Array<number>(16).fill(0), ...tokenizer.encode('what time is it ?')];
  expect([...ids]).toEqual([...prompt, ...answer]);
  expect([...labels]).toEqual([...prompt.map(() => noLabel), ...answer]);
  expect(pictures[0]!.patches[0]).toBeCloseTo((1 - 0.3) / 0.25, 5);
});

it('cuts a picture into patches row by row, channels innermost', () => {
  // The pixel at row y and column x has the values 100 y + 10 x + channel.
  const pixels = Float32Array.from({ length: 4 * 4 * 3 }, (_, at) => {
    return 100 * Math.floor(at / 12) + 10 * (Math.floor(at / 3) % 4) + (at % 3);
  });
  const { patches, rows, tokens } = patchesOf(pixels, 4, 2);
  expect([rows, tokens]).toEqual([4, 4]);
  const [, topRight] = [0, 1].map((patch) => [...patches.subarray(patch * 12, (patch + 1) * 12)]);
  expect(topRight).toEqual([20, 21, 22, 30, 31, 32, 120, 121, 122, 130, 131, 132]);
});

it('refuses an unknown word by name', () => {
  expect(() => prepareQuestion({ ...question, answer: 'zebra' }, tokenizer)).toThrow(/"zebra"/);
});
