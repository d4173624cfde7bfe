import { describe, expect, it } from 'vitest';
import { describeRun } from '@plumbline/shared/built-in/described-run';
import { RunConfig } from '@plumbline/shared/built-in/run-config';
import { RunParent } from '@plumbline/shared/run';
import { RunDescription } from '@plumbline/shared/run-description';
import { TrainerEvent, type ControlEvent } from '@plumbline/shared/trainer-event';
import { plannedStages, stagesOf } from '@plumbline/shared/stage';
import { targetFindings } from './target-findings.js';

type Series = Parameters<typeof targetFindings>[0];
type Run = Parameters<typeof targetFindings>[3];

/** Three stages of 100 steps, probed each 50. */
const described = (tasks: string[]) => describeRun(RunConfig.parse({ name: 'x', tasks, steps: 100 }));
const description = described(['counting', 'clock', 'kinds']);
const finished = { description, state: 'finished', parent: null } as const;
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

/** Of runs whose stages are planned. */
const found = (series: Series, baseline: ReadonlyMap<string, number>, run: Run) =>
  targetFindings(series, baseline, 100, run, plannedStages(run.description));

describe('targetFindings', () => {
  it('reports what each task learnt in its stage, lost afterwards and recovered', () => {
    const [first, second, third] = found(probes(6), base, finished);
    expect(first!.step).toBe(200);
    expect(first!.values).toMatchObject({ learned: 60, worst: -40, end: -20, recoveredPercent: 50 });
    expect(first!.text).toBe(
      'Counting (stage 1 of 3) had learned +60.0 points against the base, noise 8.0, by step 100; afterwards it was ' +
        'lowest at step 200 (-40.0 points, noise 8.0) and ended at -20.0 points: 50 % recovered.',
    );
    expect(second!.text).toBe(
      'Clock reading (stage 2 of 3) had learned +40.0 points against the base, noise 6.0, by step 200; what came after took ' +
        'nothing beyond the noise (10.0) from it.',
    );
    expect(third!.text).toBe(
      'Bird kinds (stage 3 of 3) had learned nothing beyond the noise by step 300 (+2.0 points against the base, noise 6.0).',
    );
  });
  it('says "so far" while the run goes on, and nothing about tasks that are not taught yet', () => {
    const texts = (count: number) => found(probes(count), base, running).map(({ text }) => text);
    expect(texts(1)).toEqual([
      'Counting (stage 1 of 3) has learned +20.0 points against the base, noise 8.0, so far (step 50).',
    ]);
    expect(texts(3)[0]).toMatch(
      /lowest at step 150 \(-20\.0 points, .*\) and is at -20\.0 points so far: 0 % recovered/,
    );
    expect(texts(3)[1]).toMatch(/^Clock reading .* has learned \+30\.0 points .*so far \(step 150\)\.$/);
    expect(texts(5)[1]).toMatch(/took nothing beyond the noise \(10\.0\) from it so far\.$/);
    expect(texts(5).join('')).not.toMatch(/ended/);
  });
  it('counts from the start of a branch that begins after a stage', () => {
    const parent = RunParent.parse({ runId: 'run-1', checkpointId: 'step-1', step: 200 });
    const [first] = found(probes(6, 4), base, { ...finished, parent });
    expect(first!.text).toMatch(/^Counting .* was taught before this branch, which began with it at \+35\.0 points/);
    expect(first!.text).toMatch(/took nothing beyond the noise/);
  });
  it('judges a repeated task by its last stage that has begun', () => {
    const again = { ...finished, description: described(['counting', 'clock', 'counting']) };
    const of = (count: number) => found(probes(count), base, again)[0]!;
    expect(of(6).text).toMatch(/^Counting \(stage 3 of 3\) had learned \+40\.0 points/);
    expect(of(4).text).toMatch(/^Counting \(stage 1 of 3\) had learned \+60\.0 points/);
  });
  it('says nothing if the base model or the task was not probed', () => {
    expect(found(probes(6), new Map(), finished)).toEqual([]);
    expect(found(new Map(), base, finished)).toEqual([]);
  });
  it('judges a run without stages as a whole, by its own task names', () => {
    const tasks = [{ name: 'clock', label: 'Uhr', kind: 'target' as const }];
    const bare = { ...finished, description: RunDescription.parse({ name: 'x', tasks }) };
    const [only, none] = targetFindings(probes(6), base, 100, bare, []);
    expect(none).toBeUndefined();
    expect(only!.text).toBe('Uhr had learned +39.0 points against the base, noise 6.0, by step 300.');
    const silent = { ...running, description: RunDescription.parse({ name: 'x' }) };
    expect(targetFindings(probes(6), base, 100, silent, []).map(({ text }) => text)).toEqual([
      'counting has learned +40.0 points against the base, noise 8.0, so far (step 300).',
      'clock has learned +39.0 points against the base, noise 6.0, so far (step 300).',
      'kinds has learned nothing beyond the noise by step 300 (+2.0 points against the base, noise 6.0).',
    ]);
  });
  it('uses stages that a run announces as they start', () => {
    const stageStarted = (stage: number, step: number, task: string, steps: number | null) =>
      TrainerEvent.parse({
        type: 'stage_started',
        seq: stage + 1,
        wallTimeMs: 1,
        stage,
        step,
        task,
        steps,
      }) as ControlEvent;
    const silent = { ...finished, description: RunDescription.parse({ name: 'x' }) };
    const stages = stagesOf(silent.description, [
      stageStarted(0, 0, 'counting', 400),
      stageStarted(1, 100, 'clock', null),
    ]);
    expect(stages.map(({ firstStep, lastStep }) => [firstStep, lastStep])).toEqual([
      [0, 100],
      [100, Infinity],
    ]);
    const texts = targetFindings(probes(6), base, 100, silent, stages).map(({ text }) => text);
    expect(texts[0]).toMatch(/^counting \(stage 1\) had learned \+60\.0 points .*by step 100; afterwards/);
    expect(texts[1]).toBe('clock (stage 2) had learned +39.0 points against the base, noise 6.0, by step 300.');
  });
});
