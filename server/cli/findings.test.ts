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
  const fine = finding('no_harm', 9, 'No harm beyond the noise: loss.');
  expect(findingLines([fine])).toEqual([nothing, 'step      9  No harm beyond the noise: loss.']);
});
it('do not say that nothing stands out of what was not judged', () => {
  const lacking = finding('not_judged', 9, 'Not judged: number-token bias.');
  expect(findingLines([lacking])).toEqual([
    'Nothing stands out in what this run measured. Not everything could be judged:',
    'step      9  Not judged: number-token bias.',
  ]);
});
