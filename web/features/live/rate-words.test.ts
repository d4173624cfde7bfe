import { expect, it } from 'vitest';
import { eachRateWords, rateWords } from './rate-words';

const rates = (...of: [name: string, rate: number, label?: string][]) =>
  of.map(([name, rate, label]) => ({ name, rate, label }));

it('say the rate of a run, or the range of several', () => {
  expect(rateWords([])).toBe('–');
  expect(rateWords(rates(['lr', 1e-4]))).toBe('now 1e-4');
  expect(rateWords(rates(['a', 1e-4], ['b', 1e-5], ['c', 1e-3]))).toBe('1e-5 to 1e-3');
  expect(rateWords(rates(['a', 1e-4], ['b', 1e-4]))).toBe('now 1e-4');
  expect(rateWords(rates(['a', 1e-4], ['b', NaN], ['c', 1e-3]))).toBe('now NaN');
});

it('name each of several different rates, in the given order', () => {
  expect(eachRateWords(rates(['lr-AdamW/pg1', 1e-4], ['lr-AdamW/pg2', 1e-5]))).toBe('pg1 1e-4, pg2 1e-5');
  expect(eachRateWords(rates(['lr/vision', 1e-4, 'Vision'], ['lr/head', 1e-3]))).toBe('Vision 1e-4, head 1e-3');
  expect(eachRateWords(rates(['lr', 1e-4], ['lr/head', 1e-3]))).toBe('lr 1e-4, lr/head 1e-3');
  const many = rates(['lr/a', 1], ['lr/b', 2], ['lr/c', 3], ['lr/d', 4], ['lr/e', 5]);
  expect(eachRateWords(many)).toBe('a 1, b 2, c 3 and 2 more');
});

it('name none where all are the same', () => {
  expect(eachRateWords(rates(['lr', 1e-4]))).toBe('');
  expect(eachRateWords(rates(['a', 1e-4], ['b', 1e-4]))).toBe('');
});
