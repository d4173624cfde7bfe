import { describe, expect, it } from 'vitest';
import type { ControlEvent } from '@plumbline/shared/trainer-event';
import { energyByRecipe, energySummary, type EnergySummary } from './energy-summary.js';
import type { MetricSeries } from './finding.js';

const target = 'target/counting/accuracy';
const basis = {
  measured: [],
  modelled: ['CPU time at 3.5 W a busy core'],
  notes: [],
  gridIntensity: 360,
  powerUsageEffectiveness: 1,
};
const started = (step: number): ControlEvent[] => [
  {
    type: 'run_started',
    seq: 1,
    step,
    baseline: { [target]: 10 },
    trainer: { energy: basis },
  } as unknown as ControlEvent,
];
const run = (steps: number[], accuracies: number[]): Map<string, MetricSeries> => {
  const last = steps.at(-1)!;
  const at = (value: number): MetricSeries => ({ steps: [steps[0]!, last], values: [0, value] });
  return new Map([
    ['energy/joules', at(2000)],
    ['energy/joules_low', at(1000)],
    ['energy/joules_high', at(5000)],
    ['energy/measured_percent', at(25)],
    ['energy/co2_grams', at(0.2)],
    [target, { steps, values: accuracies }],
  ]);
};

describe('the energy of a run', () => {
  it('says what it took, and for each step and each point that was won', () => {
    expect(energySummary(run([0, 50, 100], [10, 40, 60]), started(0), target)).toEqual({
      joules: { value: 2000, low: 1000, high: 5000 },
      co2Grams: { value: 0.2, low: 0.1, high: 0.5 },
      measuredPercent: 25,
      steps: 100,
      joulesPerStep: { value: 20, low: 10, high: 50 },
      targetGain: 50,
      joulesPerTargetPoint: { value: 40, low: 20, high: 100 },
      basis,
    });
  });

  it('counts a branch from its own start, in steps and in points', () => {
    const branch = energySummary(run([60, 80, 100], [50, 55, 60]), started(60), target);
    expect(branch).toMatchObject({ steps: 40, targetGain: 10, joulesPerTargetPoint: { value: 200 } });
    expect(branch!.joulesPerStep!.value).toBe(50);
  });

  it('divides by nothing that was not won', () => {
    const worse = energySummary(run([0, 100], [10, 8]), started(0), target);
    expect(worse).toMatchObject({ targetGain: -2, joulesPerTargetPoint: null });
    expect(energySummary(run([0], [10]), started(0), target)).toMatchObject({ steps: 0, joulesPerStep: null });
    const untold = run([0, 100], [10, 60]);
    untold.delete(target);
    expect(energySummary(untold, started(0), target)).toMatchObject({ targetGain: null, joulesPerTargetPoint: null });
  });

  it('is not there where the trainer told none, and without bounds where it told none of those', () => {
    expect(energySummary(new Map(), started(0), target)).toBeNull();
    const bare = new Map([['energy/joules', { steps: [10], values: [300] }]]);
    expect(energySummary(bare, [], target)).toMatchObject({
      joules: { value: 300, low: 300, high: 300 },
      co2Grams: null,
      basis: null,
    });
  });
});

it('adds the runs of a recipe: sums by sums', () => {
  const of = (joules: number, steps: number, targetGain: number | null): EnergySummary => ({
    ...{ measuredPercent: 0, joulesPerStep: null, joulesPerTargetPoint: null, basis: null, steps, targetGain },
    joules: { value: joules, low: joules / 2, high: joules * 2 },
    co2Grams: { value: joules / 10, low: joules / 20, high: joules / 5 },
  });
  expect(
    energyByRecipe([
      { recipe: 'full', energy: of(100, 10, 5) },
      { recipe: 'sa_proj', energy: of(50, 10, -1) },
      { recipe: 'full', energy: of(300, 90, 15) },
    ]),
  ).toEqual([
    {
      recipe: 'full',
      runs: 2,
      joules: { value: 400, low: 200, high: 800 },
      co2Grams: { value: 40, low: 20, high: 80 },
      joulesPerStep: { value: 4, low: 2, high: 8 },
      joulesPerTargetPoint: { value: 20, low: 10, high: 40 },
    },
    {
      recipe: 'sa_proj',
      runs: 1,
      joules: { value: 50, low: 25, high: 100 },
      co2Grams: { value: 5, low: 2.5, high: 10 },
      joulesPerStep: { value: 5, low: 2.5, high: 10 },
      joulesPerTargetPoint: null,
    },
  ]);
});
