import { expect, it } from 'vitest';
import { hubAwayWords, whenWords } from './when-words';

it('say that figures are current while a run continues, and final afterwards', () => {
  expect(whenWords({ state: 'running', lastStep: 1520 }, 1520, null)).toBe('Now, at step 1,520.');
  expect(whenWords({ state: 'paused', lastStep: 3 }, undefined, null)).toBe('Now, at step 3.');
  expect(whenWords({ state: 'stopped', lastStep: 520 }, 520, null)).toBe('At the end, step 520.');
});

it('say that a run is starting before its first step', () => {
  expect(whenWords({ state: 'created', lastStep: 1900 }, undefined, null)).toBe('Starting at step 1,900.');
});

it('say that training continues without the hub only for a running run', () => {
  expect(hubAwayWords('running')).toMatch(/^Training may continue; /);
  for (const state of ['paused', 'finished', 'stopped', 'failed'] as const)
    expect(hubAwayWords(state)).not.toMatch(/continues/);
});

it('give the step of the last probe if it was before the last step', () => {
  expect(whenWords({ state: 'running', lastStep: 527 }, 520, null)).toBe('Now, at step 527; probed last at step 520.');
});

it('say which steps the charts show while they are zoomed', () => {
  expect(whenWords({ state: 'running', lastStep: 520 }, 520, [40, 100])).toBe(
    'Now, at step 520. The charts show steps 40 to 100; point at one for its values there.',
  );
});
