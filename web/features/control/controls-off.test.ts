import { expect, it } from 'vitest';
import { controlsOffWords } from './controls-off';

it('is empty while a run can be controlled', () => {
  for (const state of ['running', 'paused'] as const)
    expect(controlsOffWords({ state, trainerConnected: true }, false)).toBe('');
});

it('waits for the trainer only while none is connected', () => {
  expect(controlsOffWords({ state: 'created', trainerConnected: false }, false)).toMatch(
    /once the trainer is connected/,
  );
  expect(controlsOffWords({ state: 'created', trainerConnected: true }, false)).not.toMatch(/trainer/);
});

it('promises controls once the hub is back, but not for an ended run', () => {
  expect(controlsOffWords({ state: 'running', trainerConnected: true }, true)).toMatch(/controls work again/);
  for (const state of ['finished', 'stopped', 'failed'] as const) {
    const words = controlsOffWords({ state, trainerConnected: false }, true);
    expect(words).toMatch(/^This run has ended\. .*unreachable/);
    expect(words).not.toMatch(/controls/);
  }
});
