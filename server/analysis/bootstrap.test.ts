import { describe, expect, it } from 'vitest';
import { Rng } from '@plumbline/shared/rng';
import { bootstrapDifferences, bootstrapIntervals, quantile, type Interval } from './bootstrap.js';
import { finalMeasures, type SequenceRun } from './sequence-measures.js';

const right = (n: number, of: number): string => '1'.repeat(n) + '0'.repeat(of - n);

/** One stage, one held-out task; `before` and `after` are the answers to it. */
const run = (seed: number, before: string, after: string): SequenceRun => ({
  ...{ seed, stages: ['counting'], heldOut: ['text'] },
  base: { counting: '0000', text: before },
  afterStage: [{ counting: '1111', text: after }],
});

describe('bootstrap intervals', () => {
  it('of one seed are those of its questions: 20 of 100 lost is -20 points, give or take two binomial errors of 4', () => {
    const interval = bootstrapIntervals([run(1, right(100, 100), right(80, 100))], finalMeasures).heldOutForgetting!;
    expect(interval).toMatchObject({ estimate: -20, seeds: 1, level: 0.95, resampled: 'questions' });
    expect(Math.abs(interval.low - (-20 - 1.96 * 4))).toBeLessThanOrEqual(1.2);
    expect(Math.abs(interval.high - (-20 + 1.96 * 4))).toBeLessThanOrEqual(1.2);
  });
  it('pair questions before and after: where nothing changed, resampling changes nothing', () => {
    const same = bootstrapIntervals([run(1, right(30, 60), right(30, 60))], finalMeasures).heldOutForgetting!;
    expect(same).toMatchObject({ estimate: 0, low: 0, high: 0 });
    // As many right, but others: that is noise, and the interval says so.
    const other = bootstrapIntervals([run(1, '10'.repeat(30), '01'.repeat(30))], finalMeasures).heldOutForgetting!;
    expect(other.estimate).toBe(0);
    expect(other.high - other.low).toBeGreaterThan(40);
  });
  it('draw n - 1 of n seeds: of one that lost all and one that lost nothing, either, at -50 +- 50', () => {
    const runs = [run(1, '11', '00'), run(2, '11', '11')];
    const interval = bootstrapIntervals(runs, finalMeasures).heldOutForgetting!;
    expect(interval).toMatchObject({ estimate: -50, low: -100, high: 0, seeds: 2, resampled: 'seeds and questions' });
  });
  it('draw the same questions for all seeds: a hundred seeds do not make up for two questions', () => {
    const runs = Array.from({ length: 100 }, (_, seed) => run(seed, '11', '01'));
    const interval = bootstrapIntervals(runs, finalMeasures, { replicates: 200 }).heldOutForgetting!;
    expect(interval).toMatchObject({ estimate: -50, low: -100, high: 0 });
  });
  it('draw questions of one content together: three words asked once, twice and five times, drawn three at a time', () => {
    // Only the word of five questions is lost. Of 27 draws 8 have none of it; three times it, 1.
    const contents = { counting: ['1', '2', '3', '4'], text: [...'abbccccc'] };
    const lost = [run(1, '11111111', '11100000')];
    const of = (level: number): { low: number; high: number } =>
      bootstrapIntervals(lost, finalMeasures, { contents, level, replicates: 4000 }).heldOutForgetting!;
    expect(bootstrapIntervals(lost, finalMeasures, { contents }).heldOutForgetting!.estimate).toBe(-62.5);
    // Shares lost, with their draws of 27: 0 (8), 5/9 of b b c (3), 5/8 of a b c (6), 5/7 of a a c (3),
    // 10/12 of b c c (3), 10/11 of a c c (3), 1 (1).
    const median = of(0.01);
    expect(median.low).toBeCloseTo(-62.5, 6);
    expect(median.high).toBeCloseTo(-62.5, 6);
    // Of all draws, the 9th part in a hundred has lost 10/11, the 91st nothing; the 1.5th is of the third word alone.
    expect(of(0.82)).toMatchObject({ low: (-100 * 10) / 11, high: 0 });
    expect(of(0.97).low).toBe(-100);
  });
  it('are as without contents where no two questions share one', () => {
    const runs = [run(1, right(40, 50), right(31, 50)), run(2, right(40, 50), right(25, 50))];
    const own = { text: Array.from({ length: 50 }, (_, index) => `word ${index}`) };
    expect(bootstrapIntervals(runs, finalMeasures, { contents: own })).toEqual(bootstrapIntervals(runs, finalMeasures));
  });
  it('refuse contents of other questions', () =>
    expect(() => bootstrapIntervals([run(1, '11', '01')], finalMeasures, { contents: { text: ['a'] } })).toThrow(
      /text was asked 2 questions; contents are given of 1/,
    ));
  it('are the same for the same seed of resampling, whatever the order of the runs', () => {
    const runs = [run(1, right(40, 50), right(31, 50)), run(2, right(40, 50), right(25, 50))];
    const first = bootstrapIntervals(runs, finalMeasures, { seed: 3 });
    expect(bootstrapIntervals(runs.toReversed(), finalMeasures, { seed: 3 })).toEqual(first);
    expect(bootstrapIntervals(runs, finalMeasures, { seed: 4, replicates: 50 })).not.toEqual(first);
  });
  it('are null where the measure is not defined, and take any other statistic', () => {
    const runs = [run(1, '11', '01')];
    expect(bootstrapIntervals(runs, finalMeasures).targetForgetting).toBeNull();
    expect(bootstrapIntervals(runs, finalMeasures).targetLearning).toMatchObject({
      estimate: 100,
      low: 100,
      high: 100,
    });
    const own = bootstrapIntervals(runs, ({ afterStage }) => ({ text: afterStage[0]!['text']! }));
    expect(own.text).toMatchObject({ estimate: 50, low: 0, high: 100 });
  });
  it('refuse runs that cannot be compared question by question', () => {
    expect(() => bootstrapIntervals([], finalMeasures)).toThrow(/no run/);
    expect(() => bootstrapIntervals([run(1, '11', '01'), run(1, '11', '01')], finalMeasures)).toThrow(
      /Seed 1 .* twice/,
    );
    expect(() => bootstrapIntervals([run(1, '11', '01'), run(2, '111', '011')], finalMeasures)).toThrow(
      /Seed 2 asked 3 questions of text; others 2/,
    );
    expect(() =>
      bootstrapIntervals([run(1, '11', '01'), { ...run(2, '11', '01'), afterStage: [] }], finalMeasures),
    ).toThrow(/Seed 2 completed 0/);
  });

  /**
   * Simulated runs with a known answer: -10 points on four held-out tasks of 60 questions. A question is as hard for
   * all seeds, before and after; a seed moves all its tasks by a normal error of 3 points.
   */
  function simulated(rng: Rng, seeds: number, change: number): SequenceRun[] {
    const heldOut = ['a', 'b', 'c', 'd'];
    const hardness = heldOut.map(() => Array.from({ length: 60 }, () => rng.uniform() - 0.5));
    const answers = (share: number): Record<string, string> =>
      Object.fromEntries(
        heldOut.map((task, i) => [
          task,
          hardness[i]!.map((hard) => (rng.uniform() < share - 0.5 * hard ? '1' : '0')).join(''),
        ]),
      );
    const base = { ...answers(0.6), counting: '0' };
    return Array.from({ length: seeds }, (_, seed) => ({
      ...{ seed, stages: ['counting'], heldOut, base },
      afterStage: [{ ...answers(0.6 + change + 0.03 * rng.normal()), counting: '1' }],
    }));
  }
  // 400 trials: two standard errors of a share of 95 % are 2.2 points. The seeds are fixed, so the outcome is too.
  it.each([3, 5])('hold the true value in about 95 of 100 simulated experiments with %i seeds', (seeds) => {
    const rng = new Rng(17);
    let held = 0;
    for (let trial = 0; trial < 400; trial++) {
      const { low, high } = bootstrapIntervals(simulated(rng, seeds, -0.1), finalMeasures, {
        ...{ replicates: 200, seed: trial },
      }).heldOutForgetting!;
      if (low <= -10 && -10 <= high) held++;
    }
    expect(held / 400).toBeGreaterThan(0.93);
    expect(held / 400).toBeLessThanOrEqual(0.985);
  });
  /**
   * A recipe that goes on to read a word right or wrong, for the most part, however it is drawn: before, half of all words
   * are read; after, a quarter. 120 questions fall on 25 words as they may, as those of `reading` do.
   */
  function readingWords(rng: Rng): { run: SequenceRun; contents: Record<string, string[]> } {
    const words = Array.from({ length: 25 }, () => ({ before: rng.uniform() < 0.5, after: rng.uniform() < 0.25 }));
    const asked = Array.from({ length: 120 }, () => rng.integer(words.length));
    const answers = (when: 'before' | 'after'): string =>
      // One in ten comes out the other way; so true accuracies are 50 % and 0.25 * 0.9 + 0.75 * 0.1 = 30 %.
      asked.map((word) => (words[word]![when] === rng.uniform() >= 0.1 ? '1' : '0')).join('');
    return { run: run(1, answers('before'), answers('after')), contents: { text: asked.map(String) } };
  }
  it('hold the true value as often where questions share contents, which intervals over questions do not', () => {
    const rng = new Rng(19);
    const held = { contents: 0, questions: 0 };
    for (let trial = 0; trial < 400; trial++) {
      const { run: one, contents } = readingWords(rng);
      for (const [by, options] of [
        ['contents', { contents }],
        ['questions', {}],
      ] as const) {
        const { low, high } = bootstrapIntervals([one], finalMeasures, {
          ...{ ...options, replicates: 200, seed: trial },
        }).heldOutForgetting!;
        if (low <= -20 && -20 <= high) held[by]++;
      }
    }
    // With 25 contents percentiles fall a little short of 95 %, as with 25 of anything.
    expect(held.contents / 400).toBeGreaterThan(0.9);
    expect(held.contents / 400).toBeLessThanOrEqual(0.985);
    expect(held.questions / 400).toBeLessThan(0.75);
  });
  it('of a paired difference hold the true difference as often', () => {
    const rng = new Rng(18);
    let held = 0;
    for (let trial = 0; trial < 400; trial++) {
      const runs = simulated(rng, 6, -0.1);
      // The second three are another recipe from the same base and the same questions, under the same seeds.
      const [a, b] = [runs.slice(0, 3), runs.slice(3).map((each, seed) => ({ ...each, seed }))];
      const { low, high } = bootstrapDifferences(a, b, finalMeasures, {
        ...{ replicates: 200, seed: trial },
      }).heldOutForgetting!;
      if (low <= 0 && 0 <= high) held++;
    }
    expect(held / 400).toBeGreaterThan(0.93);
  });
});

describe('bootstrap of a paired difference', () => {
  it('is exactly 0 between a recipe and itself', () => {
    const runs = [run(1, right(40, 50), right(31, 50)), run(2, right(40, 50), right(25, 50))];
    expect(bootstrapDifferences(runs, runs.toReversed(), finalMeasures).heldOutForgetting).toMatchObject({
      ...{ estimate: 0, low: 0, high: 0 },
    });
  });
  it('is narrow where both recipes lose the same questions, though each one alone is uncertain', () => {
    const worse = [1, 2, 3].map((seed) => run(seed, right(100, 100), right(50, 100)));
    const better = [1, 2, 3].map((seed) => run(seed, right(100, 100), right(55, 100)));
    const difference = bootstrapDifferences(better, worse, finalMeasures).heldOutForgetting!;
    const alone = bootstrapIntervals(better, finalMeasures).heldOutForgetting!;
    expect(difference.estimate).toBeCloseTo(5, 10);
    // 5 of 100 questions differ: two binomial errors are 4.4 points, against 9.9 of either recipe.
    expect(difference.low).toBeGreaterThan(0);
    expect(difference.high - difference.low).toBeLessThan(0.6 * (alone.high - alone.low));
  });
  it('is against a share of the other where one is given: all of 100 is 25 more than three quarters of it, half 25 less', () => {
    const none = right(0, 100);
    const [all, half] = [100, 50].map((n) => [1, 2].map((seed) => run(seed, none, right(n, 100))));
    const against = (of: SequenceRun[]): Interval =>
      bootstrapDifferences(of, all!, finalMeasures, { share: 0.75 }).heldOutForgetting!;
    expect(against(all!)).toMatchObject({ estimate: 25, low: 25, high: 25 });
    // How often the right half of the questions is drawn is open.
    const { estimate, low, high } = against(half!);
    expect(estimate).toBe(-25);
    expect(Math.abs(low - (-25 - 1.96 * 5))).toBeLessThanOrEqual(1.5);
    expect(Math.abs(high - (-25 + 1.96 * 5))).toBeLessThanOrEqual(1.5);
  });
  it('refuses recipes with other seeds or other questions', () => {
    expect(() => bootstrapDifferences([run(1, '11', '01')], [run(2, '11', '01')], finalMeasures)).toThrow(
      /same seeds on both sides; they have 1 and 2/,
    );
    expect(() => bootstrapDifferences([run(1, '11', '01')], [run(1, '111', '011')], finalMeasures)).toThrow(/asked 3/);
  });
});

describe('quantile', () => {
  it('lies between the two values that are nearest', () => {
    expect([0, 0.25, 0.5, 1].map((share) => quantile([0, 10, 30], share))).toEqual([0, 5, 10, 30]);
    expect(quantile([7], 0.975)).toBe(7);
  });
});
