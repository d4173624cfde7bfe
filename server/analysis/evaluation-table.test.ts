import { expect, it } from 'vitest';
import type { EvaluationCompleted } from '@plumbline/shared/trainer-event';
import { EvaluationTable } from './evaluation-table.js';

const tableOf = (evaluations: readonly EvaluationCompleted[]): EvaluationTable['tasks'] => {
  const table = new EvaluationTable();
  for (const evaluation of evaluations) table.add(evaluation);
  return table.tasks;
};
let seq = 0;
const evaluated = (
  stage: number | null,
  right: Record<string, string>,
  weight: number | null = null,
): EvaluationCompleted => ({
  ...{ type: 'evaluation_completed', seq: ++seq, step: stage === null ? 0 : (stage + 1) * 10, wallTimeMs: 0 },
  ...{ stage, weight, right },
});

it('has the answers of the base, each stage and each weight by task, and their difference from the base', () => {
  // Of 20: 10 right at the base; after the stage 8 of these still, and 6 of the others.
  const [base, now] = ['1'.repeat(10) + '0'.repeat(10), '1'.repeat(8) + '00' + '1'.repeat(6) + '0000'];
  const table = tableOf([
    evaluated(null, { counting: base, colour: '1111' }),
    evaluated(0, { counting: now, colour: '1100' }),
    evaluated(0, { counting: base, colour: '1111' }, 0.5),
  ]);
  expect(table.map(({ task, evaluations }) => [task, evaluations.length])).toEqual([
    ['colour', 3],
    ['counting', 3],
  ]);
  const [start, trained, blend] = table[1]!.evaluations;
  expect(start).toMatchObject({ stage: null, weight: null, step: 0, asked: 20, right: 10, againstBase: null });
  expect(start!.accuracy.estimate).toBe(50);
  // Wilson by hand: 10 of 20, (0.5 ± 1.96 sqrt(1/80 + 1.96^2/1600) / (1 + 1.96^2/20)): 29.93 % to 70.07 %.
  expect(start!.accuracy.low).toBeCloseTo(29.93, 2);
  expect(start!.accuracy.high).toBeCloseTo(70.07, 2);
  expect(trained).toMatchObject({ stage: 0, weight: null, step: 10, asked: 20, right: 14 });
  expect(trained!.againstBase).toMatchObject({ gained: 6, lost: 2 });
  expect(trained!.againstBase!.estimate).toBeCloseTo(20, 10);
  // By hand: phi = (8 * 4 - 6 * 2 - 10) / sqrt(14 * 6 * 10 * 10) = 0.1091; Wilson of 14 in 20 is 48.10 to 85.45.
  const reach = (a: number, b: number): number => Math.sqrt(a ** 2 - 2 * 0.10911 * a * b + b ** 2);
  expect(trained!.againstBase!.low).toBeCloseTo(20 - reach(70 - 48.1, 20.07), 1);
  expect(trained!.againstBase!.high).toBeCloseTo(20 + reach(85.45 - 70, 20.07), 1);
  expect(blend).toMatchObject({ stage: 0, weight: 0.5, right: 10, againstBase: { estimate: 0, gained: 0, lost: 0 } });
});

it('compares only with a base that was asked the same questions, and reads no inherited names', () => {
  const [row] = tableOf([evaluated(0, { counting: '10' })])[0]!.evaluations;
  expect(row!.againstBase).toBeNull();
  const other = tableOf([evaluated(null, { counting: '101' }), evaluated(0, { constructor: '1', counting: '10' })]);
  expect(other.map(({ task }) => task)).toEqual(['constructor', 'counting']);
  expect(other[0]!.evaluations).toHaveLength(1);
  expect(other[0]!.evaluations[0]!.againstBase).toBeNull();
  expect(other[1]!.evaluations[1]!.againstBase).toBeNull();
  expect(tableOf([])).toEqual([]);
});

it('also compares evaluations that came before that of the base model', () => {
  const [{ evaluations }] = tableOf([evaluated(0, { counting: '11' }), evaluated(null, { counting: '10' })]) as [
    EvaluationTable['tasks'][number],
  ];
  expect(evaluations.map(({ stage, againstBase }) => [stage, againstBase?.gained])).toEqual([
    [0, 1],
    [null, undefined],
  ]);
});
