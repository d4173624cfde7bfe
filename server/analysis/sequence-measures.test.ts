import { describe, expect, it } from 'vitest';
import { accuraciesOf, finalMeasures, sequenceMeasures, sequenceRun, type SequenceRun } from './sequence-measures.js';

/** Three stages, ten questions a task, so that a question is ten points. `n` right of ten. */
const right = (n: number): string => '1'.repeat(n) + '0'.repeat(10 - n);
const run: SequenceRun = {
  seed: 1,
  stages: ['birds', 'counting', 'clock'],
  heldOut: ['charts', 'text'],
  base: { birds: right(2), counting: right(1), clock: right(0), charts: right(9), text: right(8) },
  afterStage: [
    { birds: right(8), counting: right(2), clock: right(0), charts: right(7), text: right(8) },
    { birds: right(5), counting: right(9), clock: right(1), charts: right(3), text: right(5) },
    { birds: right(6), counting: right(7), clock: right(4), charts: right(6), text: right(6) },
  ],
};

describe('measures of a sequence, worked by hand', () => {
  const [first, second, third] = sequenceMeasures(accuraciesOf(run));
  it('after the last stage', () => {
    // Learning: birds 80 - 20, counting 90 - 10, clock 40 - 0.
    expect(third!.targetLearning).toBeCloseTo((60 + 80 + 40) / 3, 10);
    // Forgetting: birds 60 - 80, counting 70 - 90; the last task cannot have been forgotten yet.
    expect(third!.targetForgetting).toBeCloseTo((-20 - 20) / 2, 10);
    // Overall: birds 60 - 20, counting 70 - 10, clock 40 - 0.
    expect(third!.targetOverall).toBeCloseTo((40 + 60 + 40) / 3, 10);
    // Held out: charts 60 - 90, text 60 - 80.
    expect(third!.heldOutForgetting).toBeCloseTo((-30 - 20) / 2, 10);
    expect(finalMeasures(accuraciesOf(run))).toEqual(third);
  });
  it('after the second stage, of the two tasks taught so far', () => {
    expect(second!.targetLearning).toBeCloseTo((60 + 80) / 2, 10);
    expect(second!.targetForgetting).toBeCloseTo(50 - 80, 10);
    expect(second!.targetOverall).toBeCloseTo((30 + 80) / 2, 10);
    expect(second!.heldOutForgetting).toBeCloseTo((-60 - 30) / 2, 10);
  });
  it('after one stage, where target forgetting is not defined', () => {
    expect(first).toEqual({ targetLearning: 60, targetForgetting: null, targetOverall: 60, heldOutForgetting: -10 });
  });
  it('of a run that ended in its second stage: those of the first', () => {
    expect(finalMeasures(accuraciesOf({ ...run, afterStage: run.afterStage.slice(0, 1) }))).toEqual(first);
  });
  it('of nothing trained, and without held-out tasks: not defined', () => {
    const none = { targetLearning: null, targetForgetting: null, targetOverall: null, heldOutForgetting: null };
    expect(finalMeasures(accuraciesOf({ ...run, afterStage: [] }))).toEqual(none);
    expect(finalMeasures(accuraciesOf({ ...run, heldOut: [] })).heldOutForgetting).toBeNull();
  });
  it('learning + forgetting = overall, with the last task forgotten by 0', () => {
    const { targetLearning, targetForgetting, targetOverall } = third!;
    expect(targetLearning! + (targetForgetting! * 2) / 3).toBeCloseTo(targetOverall!, 10);
  });
  it('refuse a task that was not evaluated, was asked nothing, or holds something else', () => {
    expect(() => finalMeasures(accuraciesOf({ ...run, heldOut: ['maps'] }))).toThrow(/no evaluation of maps/);
    expect(() => accuraciesOf({ ...run, base: { ...run.base, text: '' } })).toThrow(/answers to text/);
    expect(() => accuraciesOf({ ...run, base: { ...run.base, text: '012' } })).toThrow(/answers to text/);
  });
});

describe('a run from its evaluations', () => {
  const of = { seed: 1, stages: run.stages, heldOut: run.heldOut };
  const plain = run.afterStage.map((answers, stage) => ({ stage, weight: null, right: answers }));
  const base = { stage: null, weight: null, right: run.base };
  it('takes the trained model, the last evaluation of a stage', () => {
    const stale = { stage: 0, weight: null, right: run.base };
    expect(sequenceRun([base, stale, ...plain], of)).toEqual(run);
  });
  it('takes one interpolation weight throughout', () => {
    const half = plain.map((evaluation) => ({ ...evaluation, weight: 0.5, right: run.base }));
    const mixed = sequenceRun([base, ...plain.flatMap((evaluation, i) => [evaluation, half[i]!])], {
      ...of,
      weight: 0.5,
    });
    expect(mixed.afterStage).toEqual([run.base, run.base, run.base]);
  });
  it('refuses a gap and a missing base, and takes a run that ended early', () => {
    expect(() => sequenceRun(plain, of)).toThrow(/base model was not evaluated/);
    expect(() => sequenceRun([base, plain[1]!], of)).toThrow(/Stage 1 \(counting\)/);
    expect(sequenceRun([base, plain[0]!], of).afterStage).toHaveLength(1);
  });
});
