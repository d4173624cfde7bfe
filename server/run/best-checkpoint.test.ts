import { describe, expect, it } from 'vitest';
import type { CheckpointSaved } from '@plumbline/shared/trainer-event';
import { bestCheckpoint, MeasuredBefore } from './best-checkpoint.js';

const saved = (step: number): CheckpointSaved => ({
  type: 'checkpoint_saved',
  seq: step + 1,
  step,
  wallTimeMs: 1_700_000_000_000,
  checkpointId: `step-${step}` as never,
  bytes: 1,
  digest: 'x',
});
const checkpoints = [0, 100, 137, 200].map(saved);
const series = { steps: [0, 50, 100, 125, 150, 200], values: [90, 95, 92, 94, 99, 80] };

describe('bestCheckpoint', () => {
  it('goes by the last value measured no later than the checkpoint', () => {
    // Checkpoints 0: 90, 100: 92, 137: 94 of step 125, 200: 80. The 99 at step 150 is at no checkpoint.
    expect(bestCheckpoint(checkpoints, series, 'higher')).toMatchObject({
      checkpoint: { checkpointId: 'step-137' },
      value: 94,
      measuredAtStep: 125,
    });
    expect(bestCheckpoint(checkpoints, series, 'lower')?.checkpoint.step).toBe(200);
  });
  it('takes the latest of equal ones, which has learnt most', () => {
    expect(bestCheckpoint(checkpoints, { steps: [0], values: [90] }, 'higher')?.checkpoint.step).toBe(200);
  });
  it('passes over what was not measured: neither a number nor what stands for an overflow', () => {
    const overflow = { steps: [0, 100, 200], values: [90, Number.MAX_VALUE, -Number.MAX_VALUE] };
    for (const better of ['higher', 'lower'] as const)
      expect(bestCheckpoint(checkpoints, overflow, better)).toMatchObject({ value: 90, measuredAtStep: 0 });
    const odd = { steps: [0, 100, 200], values: [90, Infinity, NaN] };
    expect(bestCheckpoint(checkpoints, odd, 'higher')).toMatchObject({ value: 90, measuredAtStep: 0 });
  });
  it('is none where nothing was measured or saved', () => {
    expect(bestCheckpoint(checkpoints, undefined, 'higher')).toBeNull();
    expect(bestCheckpoint([], series, 'higher')).toBeNull();
    expect(bestCheckpoint([saved(10)], { steps: [20], values: [1] }, 'higher')).toBeNull();
  });
});

describe('MeasuredBefore', () => {
  it('keeps what decides, at most one point a checkpoint, whatever the parts', () => {
    const steps = Array.from({ length: 300 }, (_, i) => i);
    const values = steps.map((step) => (step % 7 === 0 ? NaN : Math.sin(step)));
    for (const size of [1, 13, 300]) {
      const measured = new MeasuredBefore([...checkpoints].reverse());
      for (let from = 0; from < steps.length; from += size)
        measured.take({ steps: steps.slice(from, from + size), values: values.slice(from, from + size) });
      expect(measured.series.steps.length).toBeLessThanOrEqual(checkpoints.length);
      for (const better of ['higher', 'lower'] as const)
        expect(bestCheckpoint(checkpoints, measured.series, better)).toEqual(
          bestCheckpoint(checkpoints, { steps, values }, better),
        );
    }
    expect([measuredLast([]), measuredLast(checkpoints)]).toEqual([0, 200]);
  });
});
const measuredLast = (saves: readonly CheckpointSaved[]): number => new MeasuredBefore(saves).lastStep;
