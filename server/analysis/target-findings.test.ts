import { describe, expect, it } from 'vitest';
import { RunConfig, RunParent } from '@plumbline/shared/run';
import { targetFindings } from './target-findings.js';

/** Three stages of 100 steps, probed each 50. */
const config = RunConfig.parse({ name: 'x', tasks: ['counting', 'clock', 'kinds'], steps: 100 });
const finished = { config, state: 'finished', parent: null } as const;
const running = { ...finished, state: 'running' } as const;
const base = new Map([
  ['target/counting/accuracy', 20],
  ['target/clock/accuracy', 10],
  ['target/kinds/accuracy', 10],
]);
const counting = [40, 80, 60, 40, 55, 60];
const clock = [10, 10, 40, 50, 48, 49];
const kinds = [10, 10, 10, 11, 10, 12];
/** The first so many probes. */
const probes = (count: number, from = 0) =>
  new Map(
    Object.entries({ counting, clock, kinds }).map(([task, values]) => [
      `target/${task}/accuracy`,
      { steps: [50, 100, 150, 200, 250, 300].slice(from, count), values: values.slice(from, count) },
    ]),
  );

describe('targetFindings', () => {
  it('tells of each task what was learned in its stage, lost afterwards and got back', () => {
    const [first, second, third] = targetFindings(probes(6), base, 100, finished);
    expect(first!.step).toBe(200);
    expect(first!.values).toMatchObject({ learned: 60, worst: -40, end: -20, recoveredPercent: 50 });
    expect(first!.text).toBe(
      'counting (stage 1 of 3) had learned +60.0 points against the base, noise 8.0, by step 100; afterwards it was ' +
        'lowest at step 200 (-40.0 points, noise 8.0) and ended at -20.0 points: 50 % recovered.',
    );
    expect(second!.text).toBe(
      'clock (stage 2 of 3) had learned +40.0 points against the base, noise 6.0, by step 200; what came after took ' +
        'nothing beyond the noise (10.0) from it.',
    );
    expect(third!.text).toBe(
      'kinds (stage 3 of 3) had learned nothing beyond the noise by step 300 (+2.0 points against the base, noise 6.0).',
    );
  });
  it('says so far while the run goes on, and nothing of tasks that are not taught yet', () => {
    const texts = (count: number) => targetFindings(probes(count), base, 100, running).map(({ text }) => text);
    expect(texts(1)).toEqual([
      'counting (stage 1 of 3) has learned +20.0 points against the base, noise 8.0, so far (step 50).',
    ]);
    expect(texts(3)[0]).toMatch(
      /lowest at step 150 \(-20\.0 points, .*\) and is at -20\.0 points so far: 0 % recovered/,
    );
    expect(texts(3)[1]).toMatch(/^clock .* has learned \+30\.0 points .*so far \(step 150\)\.$/);
    expect(texts(5)[1]).toMatch(/took nothing beyond the noise \(10\.0\) from it so far\.$/);
    expect(texts(5).join('')).not.toMatch(/ended/);
  });
  it('of a branch from behind a stage, counts from what it began with', () => {
    const parent = RunParent.parse({ runId: 'run-1', checkpointId: 'step-1', step: 200 });
    const [first] = targetFindings(probes(6, 4), base, 100, { ...finished, parent });
    expect(first!.text).toMatch(/^counting .* was taught before this branch, which began with it at \+35\.0 points/);
    expect(first!.text).toMatch(/took nothing beyond the noise/);
  });
  it('judges a task that is taught again by the last stage that has begun', () => {
    const again = { ...finished, config: RunConfig.parse({ ...config, tasks: ['counting', 'clock', 'counting'] }) };
    const of = (count: number) => targetFindings(probes(count), base, 100, again)[0]!;
    expect(of(6).text).toMatch(/^counting \(stage 3 of 3\) had learned \+40\.0 points/);
    expect(of(4).text).toMatch(/^counting \(stage 1 of 3\) had learned \+60\.0 points/);
  });
  it('says nothing where the base model or the task was not probed', () => {
    expect(targetFindings(probes(6), new Map(), 100, finished)).toEqual([]);
    expect(targetFindings(new Map(), base, 100, finished)).toEqual([]);
  });
});
