import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StudyRun } from '../analysis/study-run.js';
import { readResults, reportable, writeResults } from './study-results.js';
import { plan, StudySpec } from './study-spec.js';

const aRun = (variant: string, seed: number, values: number[] = []): StudyRun => ({
  ...{ variant, seed, runId: `run-${variant}-${seed}`, tasks: ['counting'], stepsPerStage: 10, heldOut: ['colour'] },
  evaluations: [{ stage: null, weight: null, right: { counting: '0101' } }],
  series: { 'train/loss': { steps: values.map((_, index) => index + 1), values } },
  baseline: { 'held_out/colour/accuracy': values[0] ?? 0 },
  interventions: [{ step: 3, author: 'study', what: 'trains sa_proj' }],
});

const asked = { evaluationSeed: 2, contents: { counting: 'a1', clock: 'b2' } };

describe('the results of a study in a file', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'plumbline-results-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('are read as they were written, numbers that are not finite too', async () => {
    const runs = [aRun('full', 1, [NaN, Infinity, -Infinity, 0.5]), aRun('full', 2)];
    const path = join(folder, 'runs.json');
    await writeResults(path, { asked, runs });
    expect(await readResults(path)).toEqual({ asked, runs });
  });

  it('are read as of unknown questions where they are a list of runs, as they were once written', async () => {
    const runs = [aRun('full', 1, [0.5])];
    const path = join(folder, 'runs-alone.json');
    await writeFile(path, JSON.stringify(runs));
    expect(await readResults(path)).toEqual({ asked: null, runs });
  });

  it('are refused when they are not there, or something else', async () => {
    await expect(readResults(join(folder, 'none.json'))).rejects.toThrow(/no results in .*none.json.*--report-only/);
    const path = join(folder, 'other.json');
    await writeFile(path, '[{"variant": "full"}]');
    await expect(readResults(path)).rejects.toThrow(/does not hold a study's results[\s\S]*seed/);
    await writeFile(path, '{"asked": null}');
    await expect(readResults(path)).rejects.toThrow(/does not hold a study's results[\s\S]*runs/);
    await writeFile(path, '[{"vari');
    await expect(readResults(path)).rejects.toThrow(/does not hold a study's results/);
  });
});

describe('what can be reported', () => {
  const spec = StudySpec.parse({
    name: 'trial',
    seeds: [1, 2],
    config: { tasks: ['counting', 'clock'], steps: 10, evaluationQuestions: 4 },
    variants: { full: {}, mlp: {}, frozen: { from: { variant: 'mlp', step: 5 } } },
  });
  const planned = plan(spec);
  const names = (runs: readonly { variant: string; seed: number }[]): string[] =>
    runs.map(({ variant, seed }) => `${variant} ${seed}`);

  it('is all of it when all runs are there, in their planned order, and nothing that is not planned', () => {
    const results = [...planned.toReversed(), { variant: 'full', seed: 3 }, { variant: 'gone', seed: 1 }].map(
      ({ variant, seed }) => aRun(variant, seed),
    );
    const found = reportable(spec, planned, { asked, runs: results }, asked);
    expect(names(found.results)).toEqual(names(planned));
    expect(found).toMatchObject({ spec, planned, missing: [] });
  });

  it('is nothing when the results are of other questions than are planned', () => {
    const other = plan({ ...spec, config: { ...spec.config, evaluationQuestions: 5 } });
    expect(() => reportable(spec, other, { asked, runs: [aRun('full', 1)] }, asked)).toThrow(
      /trial\/full\/s1 are of 4 questions of counting, the study plans 5. Set its evaluationQuestions/,
    );
  });

  it('is nothing when as many questions were drawn with another seed, or by another code of a task', () => {
    const results = { asked, runs: [aRun('full', 1), aRun('full', 2)] };
    expect(() => reportable(spec, planned, results, { ...asked, evaluationSeed: 3 })).toThrow(
      /drawn with evaluationSeed 2, the study draws them with 3. Set its evaluationSeed to 2/,
    );
    const drawn = { ...asked, contents: { counting: 'a1', clock: 'c3', reading: 'd4' } };
    expect(() => reportable(spec, planned, results, drawn)).toThrow(/other questions of clock than are drawn now/);
    // A task that has come since was not asked about.
    const more = { ...asked, contents: { ...asked.contents, reading: 'd4' } };
    expect(names(reportable(spec, planned, results, more).results)).toEqual(['full 1', 'full 2']);
  });

  it('is results of unknown questions too', () => {
    const results = { asked: null, runs: [aRun('full', 1), aRun('full', 2)] };
    expect(names(reportable(spec, planned, results, asked).results)).toEqual(['full 1', 'full 2']);
  });

  it('is the variants whose seeds are all there, without branches of those that are not', () => {
    const there = planned.filter(({ variant, seed }) => variant !== 'mlp' || seed === 1);
    const found = reportable(
      spec,
      planned,
      { asked, runs: there.map(({ variant, seed }) => aRun(variant, seed)) },
      asked,
    );
    expect(Object.keys(found.spec.variants)).toEqual(['full']);
    expect(names(found.planned)).toEqual(['full 1', 'full 2']);
    expect(names(found.results)).toEqual(['full 1', 'full 2']);
    expect(names(found.missing)).toEqual(['mlp 2']);
  });
});
