import { expect, it } from 'vitest';
import { readEvents } from './read-events.js';

it('names what a token lacks in plain words, and keeps the other tokens', () => {
  const whole = { token: ' red', id: 2579, base: 0.3, now: 0.1 };
  const { id: _, ...bare } = whole;
  const shift = { seq: 6, type: 'token_shift', step: 40, wallTimeMs: 1764288003800, prompts: 'held_out' };
  const tokens = [whole, bare, { ...whole, id: 'x' }, { ...whole, id: 1.5 }];
  const { events, problems } = readEvents({ events: [{ ...shift, tokens }] });
  expect(events).toMatchObject([{ tokens: [whole] }]);
  expect(problems.map(({ problem }) => problem)).toEqual([
    'token 1.id: missing: a number is required; it is left out',
    'token 2.id: a number is required; it is left out',
    'token 3.id: a whole number is required; it is left out',
  ]);
});

it('names what an event lacks in plain words', () => {
  const shift = { seq: 6, type: 'token_shift', step: 40, wallTimeMs: 1764288003800, tokens: [] };
  expect(() => readEvents({ events: [shift] })).toThrow('event 6 (token_shift): missing: a string is required');
});
