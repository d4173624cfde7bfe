import { describe, expect, it } from 'vitest';
import { energyFinding } from './energy-finding.js';
import type { MetricSeries } from './finding.js';

const run = (first: number, last: number): Map<string, MetricSeries> => {
  const at = (value: number): MetricSeries => ({ steps: [first, last], values: [0, value] });
  return new Map([
    ['energy/joules', at(7200)],
    ['energy/joules_low', at(3600)],
    ['energy/joules_high', at(18_000)],
    ['energy/measured_percent', at(25)],
    ['energy/co2_grams', at(0.95)],
  ]);
};

describe('the energy of a run', () => {
  it('is reported with its bounds and per step', () => {
    expect(energyFinding(run(0, 100), 0, true)).toEqual({
      kind: 'energy',
      step: 100,
      text: 'The run took 2 Wh (1–5 Wh, 25 % of it measured), 0.95 g CO₂e: 20 mWh a step.',
      values: { joules: 7200, low: 3600, high: 18_000, measuredPercent: 25, co2Grams: 0.95, joulesPerStep: 72 },
    });
  });

  it('is reported "so far" for a run that goes on', () => {
    expect(energyFinding(run(0, 100), 0, false)!.text).toBe(
      'The run has taken 2 Wh so far (1–5 Wh, 25 % of it measured), 0.95 g CO₂e: 20 mWh a step.',
    );
  });

  it('counts the steps of a branch from its own start', () => {
    expect(energyFinding(run(60, 100), 60, true)!.values['joulesPerStep']).toBe(180);
  });

  it('is not divided by zero steps', () => {
    expect(energyFinding(run(0, 0), 0, true)!.text).toBe(
      'The run took 2 Wh (1–5 Wh, 25 % of it measured), 0.95 g CO₂e.',
    );
  });

  it('is absent without values from the trainer, and has no bounds without theirs', () => {
    expect(energyFinding(new Map(), 0, true)).toBeUndefined();
    const bare = new Map([['energy/joules', { steps: [10], values: [3600] }]]);
    expect(energyFinding(bare, 0, true)!.text).toBe('The run took 1 Wh (1–1 Wh, 0 % of it measured): 0.1 Wh a step.');
  });
});
