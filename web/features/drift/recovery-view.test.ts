import { expect, it } from 'vitest';
import { builtInDeclaration } from '@plumbline/shared/built-in/series';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { RunStore } from '../../lib/run-store';
import { SeriesBuffer } from '../../lib/series-buffer';
import { heldOutTasks, RecoverySeries, recoverySubject, sampleWords } from './recovery-view';

it('follows a drop and its recovery, and has no value within the noise floor', () => {
  const accuracy = new SeriesBuffer();
  const recovered = new RecoverySeries(accuracy, {
    metric: 'held_out/mean/accuracy',
    worse: 'lower',
    base: 90,
    noiseFloor: 5,
  });
  [90, 88, 70, 50, 60, 70, 90].forEach((value, index) => accuracy.append(index + 1, index * 20, value));
  recovered.update();
  expect([...recovered.steps.subarray(0, recovered.length)]).toEqual([40, 60, 80, 100, 120]);
  expect([...recovered.values.subarray(0, recovered.length)]).toEqual([0, 0, 25, 50, 100]);
  accuracy.append(8, 140, 40);
  expect(recovered.update().values[5]).toBe(0);
});

it('counts from the worst value before a branch', () => {
  const [before, own] = [new SeriesBuffer(), new SeriesBuffer()];
  [90, 50, 60].forEach((value, index) => before.append(index + 1, index * 20, value));
  own.append(1, 60, 70);
  const subject = { metric: 'held_out/mean/accuracy', worse: 'lower', base: 90, noiseFloor: 5 } as const;
  expect(new RecoverySeries(own, subject, before).update().values[0]).toBe(50);
  expect(new RecoverySeries(own, subject).update().values[0]).toBe(0);
});

it('gives the sample size of an accuracy if the trainer sent it', () => {
  const store = new RunStore();
  expect(sampleWords(store)).toBe('');
  const baseline = { 'probe/questions_per_task': 24 };
  store.control([{ type: 'run_started', seq: 1, step: 0, baseline } as unknown as ControlEvent]);
  expect(sampleWords(store)).toBe('24 questions a task: a step is 4.2 points');
});

it('measures the recovery of accuracy, bias and KL, each with its noise floor', () => {
  const store = new RunStore();
  expect(recoverySubject(store, 'shift/kl')).toBeNull();
  const baseline = {
    ...{ 'held_out/mean/accuracy': 90, 'held_out/colour/accuracy': 90, 'probe/questions_per_task': 100 },
    ...{ 'bias/number_tokens/held_out': 0.001, 'shift/kl': 0 },
  };
  const series = [...Object.keys(baseline)].map((name, number) => ({ number, ...builtInDeclaration(name, baseline) }));
  store.control([{ type: 'run_started', seq: 1, step: 0, baseline, series } as unknown as ControlEvent]);
  // Two standard errors of 90 % of the 100 questions of one task.
  expect(recoverySubject(store, 'held_out/mean/accuracy')).toMatchObject({ worse: 'lower', base: 90, noiseFloor: 6 });
  expect(recoverySubject(store, 'bias/number_tokens/held_out')).toMatchObject({ worse: 'higher', noiseFloor: 0.002 });
  expect(recoverySubject(store, 'shift/kl')).toMatchObject({ worse: 'higher', base: 0, noiseFloor: 0.04 });
  // A series without a declared noise floor has no recovery.
  expect(recoverySubject(store, 'held_out/shape/accuracy')).toBeNull();
});

it('lists the held-out tasks without their mean, also one whose name has a slash', () => {
  const store = new RunStore();
  const baseline = { 'held_out/mean/accuracy': 50, 'held_out/vqa/en/accuracy': 60, 'held_out/colour/accuracy': 40 };
  store.control([{ type: 'run_started', seq: 1, step: 0, baseline } as unknown as ControlEvent]);
  expect(heldOutTasks(store)).toEqual(['colour', 'vqa/en']);
});
