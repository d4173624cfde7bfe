import { expect, it } from 'vitest';
import type { ControlEvent, MetricEvent } from '@plumbline/shared/trainer-event';
import { energyReading } from './energy-reading';
import { RunStore } from './run-store';

const step = (metrics: MetricEvent['metrics']): MetricEvent => ({
  ...{ type: 'step_completed', seq: 2, step: 1, stage: 0, wallTimeMs: 0, metrics },
});
const bounded = { 'energy/joules': 2304, 'energy/joules_low': 1152, 'energy/joules_high': 5760 };

it('shows the amount, how it is known and its basis', () => {
  const store = new RunStore();
  expect(energyReading(store)).toBeNull();
  const energy = {
    measured: ['GPU 0 by nvidia-smi'],
    modelled: ['CPU time at 3.5 W a busy core'],
    notes: ['A branch counts from its own start.'],
    gridIntensity: 473,
    powerUsageEffectiveness: 1.2,
  };
  store.control([{ type: 'run_started', seq: 1, step: 0, trainer: { energy } } as unknown as ControlEvent]);
  store.metrics([step({ ...bounded, 'energy/measured_percent': 62.4, 'energy/co2_grams': 0.3027 })]);
  expect(energyReading(store)).toEqual({
    joules: 2304,
    how: 'part measured',
    range: '0.32–1.6 Wh',
    emissions: '0.3 g CO₂e',
    rests: [
      'Measured (62 %): GPU 0 by nvidia-smi.',
      'Modelled: CPU time at 3.5 W a busy core.',
      'A branch counts from its own start.',
      'Multiplied by 1.2 for the building (PUE).',
      'Grid: 473 g CO₂e/kWh; the range covers the energy only.',
    ].join('\n'),
  });
});

it('shows only what another trainer sends', () => {
  const store = new RunStore();
  store.metrics([step({ 'energy/joules': 36 })]);
  expect(energyReading(store)).toMatchObject({ how: 'modelled', range: '', emissions: '' });
  expect(energyReading(store)!.rests).toContain('does not say');
});
