import { expect, it } from 'vitest';
import { rateWords } from './rate-words';

it('list all rates of a run, each once', () => {
  expect(rateWords([])).toBe('–');
  expect(rateWords([1e-4])).toBe('now 1e-4');
  expect(rateWords([1e-4, 2e-5, 1e-4])).toBe('now 1e-4, 2e-5');
});
