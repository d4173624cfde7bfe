import { describe, expect, it } from 'vitest';
import { contributionChange, metrics, numberTokenPush } from '@plumbline/shared/metric';
import type { StudyRun } from '../analysis/study-run.js';
import { studyReport } from './study-report.js';
import { plan, StudySpec } from './study-spec.js';

const questions = 100;
const answers = (right: number): string => '1'.repeat(right) + '0'.repeat(questions - right);

/** Learns counting to 80 %, then clock to 60 %, and keeps `kept` % of its held-out accuracy, which was 90 %. */
function run(variant: string, seed: number, kept: number, weights: (number | null)[] = [null]): StudyRun {
  const right = (stage: number): Record<string, string> => ({
    counting: answers(stage >= 0 ? 80 : 0),
    clock: answers(stage >= 1 ? 60 : 0),
    colour: answers(stage < 0 ? 90 : kept),
  });
  const steps = [0, 10, 20];
  return {
    ...{
      variant,
      seed,
      runId: `${variant}-${seed}`,
      tasks: ['counting', 'clock'],
      stepsPerStage: 10,
      heldOut: ['colour'],
    },
    evaluations: [
      { stage: null, weight: null, right: right(-1) },
      ...[0, 1].flatMap((stage) => weights.map((weight) => ({ stage, weight, right: right(stage) }))),
    ],
    series: {
      [metrics.heldOutMean]: { steps, values: [90, 40, kept] },
      [metrics.numberTokensHeldOut]: { steps, values: [0, 0.3 + seed / 100, 0.1] },
      [metrics.optimizerBytes]: { steps, values: [0, 2e6, 2e6] },
      [metrics.energyJoules]: { steps, values: [0, 1000, 2000] },
      [metrics.energyJoulesLow]: { steps, values: [0, 500, 1000] },
      [metrics.energyJoulesHigh]: { steps, values: [0, 2000, 4000] },
      [metrics.co2Grams]: { steps, values: [0, 0.1, 0.2] },
      [contributionChange(0, 'self_attn')]: { steps, values: [0, 1, 2] },
      [contributionChange(0, 'mlp')]: { steps, values: [0, 3, 2] },
      [numberTokenPush(0, 'self_attn')]: { steps, values: [0, 0, 0] },
      [numberTokenPush(0, 'mlp')]: { steps, values: [0, 1, 0.5] },
    },
    baseline: { [metrics.heldOutMean]: 90, [metrics.questionsPerTask]: 24 },
    interventions:
      variant === 'freeze' ? [{ step: 5, author: 'study', what: 'branched from full: trains <sa_proj>' }] : [],
  };
}
const spec = StudySpec.parse({
  name: 'trial',
  title: 'A <trial> & more',
  seeds: [1, 2, 3],
  config: { tasks: ['counting', 'clock'], steps: 10, evaluationQuestions: questions },
  variants: {
    full: { says: 'all of it' },
    attention: { config: { recipe: 'sa_proj' } },
    freeze: { from: { variant: 'full', step: 5 }, config: { recipe: 'mlp_gate_up' } },
  },
});
const runs = [1, 2, 3].flatMap((seed) => [
  run('full', seed, 50, [0.5, null]),
  run('attention', seed, 85),
  run('freeze', seed, 70),
]);

describe('studyReport', () => {
  // Clock questions are about ten dials, the others each about a thing of its own.
  const contents = { clock: Array.from({ length: questions }, (_, index) => String(index % 10)) };
  const study = { spec, planned: plan(spec), results: runs };
  const report = studyReport(study, contents, 'npm run plumbline -- study trial.yaml');
  const markdown = report.get('report.md')!;
  const row = (start: string): string => markdown.split('\n').find((line) => line.startsWith(start))!;

  it('tells what each variant learnt and forgot: 80 and 60 learnt is 70, 90 -> 50 is -40', () => {
    expect(row('| full | all of it |')).toMatch(/\+70\.0 \[.*\+0\.0 \[.*\+70\.0 \[.*−40\.0 \[/);
    expect(row('| full at 0.5 |')).toMatch(/\+70\.0/);
    expect(row('| attention |  |')).toMatch(/−5\.0 \[/);
  });
  it('sets it beside the paper’s by what is trained, whatever the variant’s name', () =>
    expect(row('| sa_proj (attention) | +24.9 |')).toMatch(/−0\.6 \| −5\.0/));
  it('says which variants the claims are about: a branch shows no recipe', () =>
    expect(markdown).toContain('SA Proj is attention, MLP Gate & Up not there, MLP not there.'));
  it('says on which intervals each claim rests', () => {
    expect(markdown).toMatch(
      /\(a\) and \(c\) rest on answers, and on two intervals .* Student’s over the seeds alone\./,
    );
    expect(markdown).toMatch(/of \(b\) a bootstrap over seeds and stages, of \(d\) Student’s over the seeds\./);
  });
  it('says how many contents the questions of a task are about', () => {
    expect(row('| **clock** |')).toMatch(/^\| \*\*clock\*\* \| 10 \| 0\.0 /);
    expect(row('| colour |')).toMatch(/^\| colour \| 100 \| 90\.0 /);
  });
  it('tells what an intervention saved, and what it was', () => {
    expect(row('| freeze | full |')).toMatch(/\+20\.0 \[/);
    expect(markdown).toContain('- freeze, seed 2: step 5, study: branched from full');
  });
  it('tells recovery: 90 -> 40 -> 50 is a fifth of the way', () => expect(row('| full | −50')).toMatch(/\| 20 \[/));
  it('tells cost with its range', () =>
    expect(row('| full | – | 2.0 MB')).toContain('| 2.0 MB | – | 0.56 Wh (0.28–1.1 Wh) | 0.2 g CO₂e |'));
  it('has a figure for each that it names, and each stands in the page', () => {
    const named = [...markdown.matchAll(/\]\(([\w-]+\.svg)\)/g)].map(([, file]) => file!);
    expect(named).toHaveLength(5);
    for (const file of named) expect(report.get(file)).toMatch(/^<svg [^>]*>.*<\/svg>\n$/s);
    expect(report.get('report.html')!.match(/<svg /g)).toHaveLength(5);
    for (const [file, content] of report) expect(content, file).not.toMatch(/NaN(px|")|undefined/);
  });
  it('is no way to put markup into the page', () => {
    const page = report.get('report.html')!;
    expect(page).not.toContain('<trial>');
    expect(page).not.toContain('<sa_proj>');
  });
  it('has every accuracy as a row: 3 rows of seeds by base and two stages by three tasks, and the weights', () => {
    const lines = report.get('results.csv')!.trim().split('\n');
    expect(lines).toHaveLength(1 + (3 + 1) * 3 * 3 * 3);
    expect(lines).toContain('full,full,1,1,clock,target,100,60');
  });
});
