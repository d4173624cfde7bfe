import { expect, it } from 'vitest';
import { findingLines } from './findings.js';

const finding = (kind: string, step: number, text: string) => ({ kind, step, text, values: {} });
const nothing = 'Nothing stands out: no drop beyond the noise, no drift, no intervention.';
const energy = finding('energy', 2000, 'The run took 2 Wh.');

it('are the sentences at their steps', () => {
  expect(findingLines([finding('weight_drift', 40, 'Weights moved.'), energy])).toEqual([
    'step     40  Weights moved.',
    'step   2000  The run took 2 Wh.',
  ]);
});
it('say that nothing stands out where there are none, also before the energy, which is always there', () => {
  expect(findingLines([])).toEqual([nothing]);
  expect(findingLines([energy])).toEqual([nothing, 'step   2000  The run took 2 Wh.']);
});
