import { expect, it } from 'vitest';
import { changesNothing } from './command-change.js';

it('says whether a command changed nothing', () => {
  expect(changesNothing({ before: { learning_rate: 0.1 }, after: { learning_rate: 0.1 } })).toBe(true);
  expect(changesNothing({ before: { learning_rate: 0.1 }, after: { learning_rate: 0.2 } })).toBe(false);
  expect(changesNothing({ before: { a: 1 }, after: { a: 1, b: 2 } })).toBe(false);
  expect(changesNothing({ before: { a: 1, b: 2 }, after: { b: 2, a: 1 } })).toBe(true);
});

it('takes silence for a change, but not the hub’s word that no rule is another', () => {
  expect(changesNothing({ before: {}, after: {} })).toBe(false);
  const groups = { selection: '2 groups', trainable_parameters: 100 };
  expect(changesNothing({ before: groups, after: groups })).toBe(false);
  expect(changesNothing({ before: null, after: null })).toBe(false);
  expect(changesNothing({ before: null, after: { added: 'drift' } })).toBe(false);
  expect(changesNothing({ before: null, after: {} })).toBe(true);
});
