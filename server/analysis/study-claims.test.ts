import { describe, expect, it } from 'vitest';
import { metrics } from '@plumbline/shared/metric';
import { blockCorrelation, studyClaims, type Claim } from './study-claims.js';
import type { StudyRun } from './study-run.js';

const questions = 200;
const answers = (percent: number): string => {
  const right = Math.round((percent / 100) * questions);
  return '1'.repeat(right) + '0'.repeat(questions - right);
};

/** A run with given accuracies: of kinds, counting and clock in turn, and of two held-out tasks. */
function run(
  variant: string,
  seed: number,
  {
    learnt,
    heldOut,
    bias = [0, 0, 0],
    push = [0, 0],
  }: { learnt: number; heldOut: number[]; bias?: number[]; push?: number[] },
): StudyRun {
  const tasks = ['kinds', 'counting', 'clock'];
  const right = (stage: number): Record<string, string> => ({
    ...Object.fromEntries(tasks.map((task, index) => [task, answers(index <= stage ? learnt : 0)])),
    colour: answers(stage < 0 ? 90 : heldOut[stage]!),
    shape: answers(stage < 0 ? 90 : heldOut[stage]!),
  });
  const steps = [10, 20, 30];
  return {
    ...{ variant, seed, runId: `${variant}-${seed}`, tasks, stepsPerStage: 10, heldOut: ['colour', 'shape'] },
    evaluations: [-1, 0, 1, 2].map((stage) => ({ stage: stage < 0 ? null : stage, weight: null, right: right(stage) })),
    series: {
      [metrics.heldOutMean]: { steps, values: heldOut },
      [metrics.numberTokensHeldOut]: { steps, values: bias },
      'contribution/number_tokens/0/mlp': { steps, values: [0, push[0]!, 0] },
      'contribution/number_tokens/0/self_attn': { steps, values: [0, push[1]!, 0] },
    },
    baseline: { [metrics.heldOutMean]: 90 },
    interventions: [],
  };
}
const names = { reference: 'full', saProj: 'sa_proj', mlpGateUp: 'mlp_gate_up', mlp: 'mlp' };
const verdicts = (claims: readonly Claim[]): string[] => claims.map(({ verdict }) => verdict);
const seeds = [1, 2, 3];

describe('studyClaims', () => {
  it('confirms claims that the runs support', () => {
    const runs = new Map([
      [
        'full',
        seeds.map((seed) =>
          run('full', seed, {
            learnt: 90,
            heldOut: [85, 50, 75],
            bias: [0.02, 0.4, 0.1 + seed / 100],
            push: [2 + seed / 10, 0.2],
          }),
        ),
      ],
      ['sa_proj', seeds.map((seed) => run('sa_proj', seed, { learnt: 80, heldOut: [89, 88, 89] }))],
      ['mlp_gate_up', seeds.map((seed) => run('mlp_gate_up', seed, { learnt: 85, heldOut: [89, 87, 88] }))],
    ]);
    const claims = studyClaims(runs, names, {});
    expect(verdicts(claims)).toEqual(['holds', 'holds', 'holds', 'holds']);
    // 85 -> 50 and 50 -> 75, and 88 against 75 at the end.
    expect(claims[0]!.evidence[0]).toContain('−35.0');
    expect(claims[0]!.evidence[1]).toContain('+25.0');
    expect(claims[2]!.evidence[1]).toContain('held-out +13.0');
  });

  it('rejects claims that the runs contradict', () => {
    const runs = new Map([
      [
        'full',
        seeds.map((seed) =>
          run('full', seed, { learnt: 90, heldOut: [50, 85, 60], bias: [0.02, 0.4, 0.1], push: [0.2 - seed / 100, 2] }),
        ),
      ],
      ['sa_proj', seeds.map((seed) => run('sa_proj', seed, { learnt: 30, heldOut: [40, 40, 40] }))],
      ['mlp_gate_up', seeds.map((seed) => run('mlp_gate_up', seed, { learnt: 30, heldOut: [40, 40, 40] }))],
    ]);
    expect(verdicts(studyClaims(runs, names, {}))).toEqual([
      'does not hold',
      'does not hold',
      'does not hold',
      'does not hold',
    ]);
  });

  it('confirms in part when held-out accuracy is kept but little is learnt', () => {
    const runs = new Map([
      ['full', seeds.map((seed) => run('full', seed, { learnt: 90, heldOut: [80, 60, 60] }))],
      ['sa_proj', seeds.map((seed) => run('sa_proj', seed, { learnt: 20, heldOut: [89, 89, 89] }))],
      ['mlp_gate_up', seeds.map((seed) => run('mlp_gate_up', seed, { learnt: 85, heldOut: [89, 89, 89] }))],
    ]);
    const [recovery, , recipes] = studyClaims(runs, names, {});
    expect(recipes!.verdict).toBe('holds in part');
    // Dropped, and stayed where it was.
    expect(recovery!.verdict).toBe('holds in part');
  });

  it('does not confirm in part by a half that means nothing without the other', () => {
    const runs = new Map([
      // Counting lifts held-out accuracy, and so does what follows.
      ['full', seeds.map((seed) => run('full', seed, { learnt: 90, heldOut: [60, 70, 85] }))],
      // Both learn nearly as much, and forget more.
      ['sa_proj', seeds.map((seed) => run('sa_proj', seed, { learnt: 85, heldOut: [60, 50, 40] }))],
      ['mlp_gate_up', seeds.map((seed) => run('mlp_gate_up', seed, { learnt: 85, heldOut: [60, 50, 40] }))],
    ]);
    const [recovery, , recipes] = studyClaims(runs, names, {});
    expect([recovery!.verdict, recipes!.verdict]).toEqual(['does not hold', 'does not hold']);
  });

  it('leaves a claim undecided if seeds disagree, however many questions were asked', () => {
    const heldOut = [
      [85, 50, 75],
      [85, 84, 84],
      [85, 90, 60],
    ];
    const runs = new Map([
      ['full', seeds.map((seed) => run('full', seed, { learnt: 90, heldOut: heldOut[seed - 1]! }))],
    ]);
    expect(studyClaims(runs, names, {})[0]!.verdict).toBe('not decided');
  });

  it('leaves learning undecided if other questions could change the result, though all seeds agree', () => {
    // 70 points learnt of 90 are 2.5 above three quarters of them, and 200 questions a task leave about 3 open.
    const recipe = (name: string, learnt: number): [string, StudyRun[]] => [
      name,
      seeds.map((seed) => run(name, seed, { learnt, heldOut: [89, 89, 89] })),
    ];
    const full = seeds.map((seed) => run('full', seed, { learnt: 90, heldOut: [80, 60, 60] }));
    const recipes = (learnt: number): Claim =>
      studyClaims(new Map([['full', full], recipe('sa_proj', learnt), recipe('mlp_gate_up', learnt)]), names, {})[2]!;
    expect(recipes(70).verdict).toBe('not decided');
    expect(recipes(70).evidence[0]).toMatch(
      /\(78 % of what full learns; \+2\.5 \[−\d\.\d, \+\d\.\d\] points against the 75 % that count as similar\)\.$/,
    );
    expect(recipes(80).verdict).toBe('holds');
    expect(recipes(55).verdict).toBe('does not hold');
  });

  it('leaves all claims undecided with one seed', () => {
    const one = run('full', 1, { learnt: 90, heldOut: [85, 50, 75], bias: [0.02, 0.4, 0.1], push: [2, 0.2] });
    const claims = studyClaims(new Map([['full', [one]]]), names, {});
    expect(verdicts(claims)).toEqual(['not decided', 'not decided', 'not decided', 'not decided']);
  });

  it('judges the given variants, whatever their names, and names recipes without a variant', () => {
    const runs = new Map([
      ['whole', seeds.map((seed) => run('whole', seed, { learnt: 90, heldOut: [85, 50, 75] }))],
      ['attention', seeds.map((seed) => run('attention', seed, { learnt: 80, heldOut: [89, 88, 89] }))],
      ['gated', seeds.map((seed) => run('gated', seed, { learnt: 85, heldOut: [89, 87, 88] }))],
      // Named like a recipe, but with the opposite effect.
      ['sa_proj', seeds.map((seed) => run('sa_proj', seed, { learnt: 10, heldOut: [40, 40, 40] }))],
    ]);
    const variants = { reference: 'whole', saProj: 'attention', mlpGateUp: 'gated', mlp: null };
    const claim = studyClaims(runs, variants, {})[2]!;
    expect(claim.verdict).toBe('holds');
    expect(claim.evidence[0]).toMatch(/^attention against whole: held-out \+14\.0/);
    const lacking = studyClaims(runs, { ...variants, mlpGateUp: null }, {})[2]!;
    expect(lacking.verdict).toBe('not decided');
    expect(lacking.evidence[1]).toBe('The study has no variant that trains mlp_gate_up and does nothing else.');
  });

  it('is less certain if the questions have few contents', () => {
    // Half of the questions that were right are lost: all of those about one of four things.
    const runs = new Map([['full', seeds.map((seed) => run('full', seed, { learnt: 90, heldOut: [90, 70, 85] }))]]);
    const few = Array.from({ length: questions }, (_, index) => String(Math.floor(index / 50)));
    const drop = (contents: Record<string, string[]>): string => studyClaims(runs, names, contents)[0]!.evidence[0]!;
    expect(drop({})).toMatch(/by −20\.0 \[−2\d/);
    expect(drop({ colour: few, shape: few })).toMatch(/by −20\.0 \[−[345]\d/);
  });

  it('leaves claims undecided without the variants, seeds or measures that they need', () => {
    const one = run('full', 1, { learnt: 90, heldOut: [85, 85, 85] });
    const claims = studyClaims(new Map([['full', [{ ...one, series: {} }]]]), names, {});
    expect(verdicts(claims)).toEqual(['not decided', 'not decided', 'not decided', 'not decided']);
  });
});

describe('blockCorrelation', () => {
  it('is -1 for values that mirror each other, in every block', () => {
    const mirrored = [1, 2].map((seed) =>
      run('full', seed, { learnt: 0, heldOut: [80, 60, 70], bias: [0.2, 0.4, 0.3] }),
    );
    const found = blockCorrelation(mirrored, metrics.heldOutMean, metrics.numberTokensHeldOut)!;
    expect(found.estimate).toBeCloseTo(-1, 10);
    expect(found.high).toBeCloseTo(-1, 10);
    expect(found.points).toBe(6);
  });
  it('is null for one seed, which cannot be resampled', () => {
    const one = [run('full', 1, { learnt: 0, heldOut: [80, 60, 70], bias: [0.2, 0.4, 0.3] })];
    expect(blockCorrelation(one, metrics.heldOutMean, metrics.numberTokensHeldOut)).toBeNull();
  });
  it('is null if nothing varies', () => {
    const flat = [run('full', 1, { learnt: 0, heldOut: [80, 80, 80], bias: [0.2, 0.2, 0.2] })];
    expect(blockCorrelation(flat, metrics.heldOutMean, metrics.numberTokensHeldOut)).toBeNull();
  });
  it('is null if no draw of seeds varies', () => {
    const runs = [
      run('full', 1, { learnt: 0, heldOut: [80, 80, 80], bias: [0.2, 0.2, 0.2] }),
      run('full', 2, { learnt: 0, heldOut: [70, 70, 70], bias: [0.3, 0.3, 0.3] }),
    ];
    expect(blockCorrelation(runs, metrics.heldOutMean, metrics.numberTokensHeldOut)).toBeNull();
  });
});
