import { expect, it } from 'vitest';
import { splitReason } from './reason';

it('parts the sentence from the log', () => {
  expect(
    splitReason('The trainer exited with code 1. Its log ends with:\nError: no space\n    at write (a.js:1.2)'),
  ).toEqual({
    headline: 'The trainer exited with code 1.',
    more: 'Its log ends with:',
    log: 'Error: no space\n    at write (a.js:1.2)',
  });
  expect(splitReason('The loss is 1.5e9 at step 3: it went wrong')).toEqual({
    headline: 'The loss is 1.5e9 at step 3: it went wrong',
    more: '',
    log: '',
  });
});
