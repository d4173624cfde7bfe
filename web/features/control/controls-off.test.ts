import { describe, expect, it } from 'vitest';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import type { RunState } from '@plumbline/shared/run';
import { RunDescription } from '@plumbline/shared/run-description';
import { controlsOffWords } from './controls-off';

const builtIn = describeRun(RunConfig.parse({ name: 'x' }));
const foreign = RunDescription.parse({ name: 'Of its own' });
const run = (state: RunState, trainerConnected: boolean, description = builtIn) => ({
  ...{ state, trainerConnected, description },
});

it('is empty while a run can be controlled', () => {
  for (const state of ['running', 'paused'] as const)
    expect(controlsOffWords(run(state, true), false, undefined)).toBe('');
});

it('waits for the trainer only while none is connected', () => {
  expect(controlsOffWords(run('created', false), false, undefined)).toMatch(/once the trainer is connected/);
  expect(controlsOffWords(run('created', true), false, undefined)).not.toMatch(/trainer/);
});

it('promises controls once the hub is back, but not for an ended run', () => {
  expect(controlsOffWords(run('running', true), true, undefined)).toMatch(/controls work again/);
  for (const state of ['finished', 'stopped', 'failed'] as const) {
    const words = controlsOffWords(run(state, false), true, true);
    expect(words).toMatch(/^This run has ended\. .*unreachable/);
    expect(words).not.toMatch(/controls/);
  }
});

describe('of an ended run', () => {
  it('offers a branch of the built-in trainer only, and from what is on the machine', () => {
    expect(controlsOffWords(run('failed', false), false, true)).toMatch(/branch .*on the hub's machine/);
    const words = controlsOffWords(run('failed', false, foreign), false, true);
    expect(words).toMatch(/with its trainer: attach a branch .*`parent`/);
  });

  it('promises nothing where there is no checkpoint, or while that is unknown', () => {
    for (const description of [builtIn, foreign]) {
      const ended = run('finished', false, description);
      expect(controlsOffWords(ended, false, false)).toBe('This run has ended. It has no checkpoint.');
      expect(controlsOffWords(ended, false, undefined)).toBe('This run has ended.');
    }
  });
});
