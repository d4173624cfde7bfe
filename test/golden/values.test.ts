import { readFileSync } from 'node:fs';
import * as tf from '@tensorflow/tfjs-core';
import { beforeAll, describe, expect, it } from 'vitest';
import { fromWireNumber, type WireNumber } from '@plumbline/shared/metric';
import { recovery } from '@plumbline/shared/recovery';
import { selectBackend } from '../../server/trainer/backend/select-backend.js';
import { rmsNorm } from '../../server/trainer/models/layers/norms.js';
import { numberTokenIds } from '../../server/trainer/number-tokens.js';
import { contributions, contributionShift } from '../../server/trainer/probes/contribution.js';
import {
  entropy,
  jsDivergence,
  klDivergence,
  tokenMass,
  topOneAgreement,
} from '../../server/trainer/probes/distribution.js';
import {
  isNumberTokenOfPaper,
  paperContributionChange,
  writtenNumberBias,
} from '../../server/trainer/probes/paper-measures.js';
import { groupDrift } from '../../server/trainer/probes/weight-drift.js';

type Rows = WireNumber[][];
interface Draw {
  seed: number;
  scale: number;
}
interface Golden {
  distributions: {
    name: string;
    base?: Rows;
    now?: Rows;
    rule?: { positions: number; vocabulary: number; base: Draw; now: Draw };
    kl: WireNumber;
    js: WireNumber;
    entropy: WireNumber;
    top1Agreement: WireNumber;
  }[];
  numberBias: {
    name: string;
    items?: Rows[];
    rule?: ({ positions: number; vocabulary: number } & Draw)[];
    numberIds: number[];
    givenTheAnswer: number;
    asWritten: { mean: number; meanOfLargest: number; meanOfMost: number };
  }[];
  numberTokens: { vocabulary: string; tokens: string[]; ours: number[]; paper: number[] }[];
  contribution: {
    name: string;
    epsilon: number;
    numberIds: number[];
    base: Side;
    now: Side;
    change: number[];
    numberPush: number[];
    paper: number[];
  }[];
  weightDrift: { name: string; base: WireNumber[][]; now: WireNumber[][]; drift: WireNumber }[];
  recovery: {
    name: string;
    values: WireNumber[];
    base: number;
    worse: 'lower' | 'higher';
    noiseFloor: number;
    recovery: { percent: number; worst: number; worstIndex: number; now: number } | null;
  }[];
}
interface Side {
  residuals: number[][][];
  norm: number[];
  head: number[][];
}
const golden = JSON.parse(readFileSync(new URL('values.json', import.meta.url), 'utf8')) as Golden;
const tolerance = 1e-5;
const numbers = (rows: Rows): number[] => rows.flat().map(fromWireNumber);

/** Compares within the tolerance, relative above 1; NaN and infinities exactly. */
function expectClose(got: number, right: WireNumber, what = ''): void {
  const value = fromWireNumber(right);
  if (Number.isFinite(value)) {
    expect(Math.abs(got - value), `${what} ${got} for ${value}`).toBeLessThanOrEqual(
      tolerance * Math.max(1, Math.abs(value)),
    );
  } else expect(got, what).toBe(value);
}

/** The rule of README.md: natural log-probabilities [positions, vocabulary]. */
function byRule(positions: number, vocabulary: number, { seed, scale }: Draw): Float64Array {
  const rows = new Float64Array(positions * vocabulary);
  const offset = Math.imul(seed, 40503);
  for (let index = 0; index < rows.length; index++) {
    let word = (Math.imul(index, 2654435761) + offset) >>> 0;
    word = Math.imul(word ^ (word >>> 15), 2246822519) >>> 0;
    word = (word ^ (word >>> 13)) >>> 0;
    rows[index] = scale * (word / 2 ** 32 - 0.5);
  }
  for (let from = 0; from < rows.length; from += vocabulary) {
    const row = rows.subarray(from, from + vocabulary);
    const most = row.reduce((a, b) => Math.max(a, b));
    const logSum = most + Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
    row.forEach((logit, at) => (row[at] = logit - logSum));
  }
  return rows;
}

describe('distribution shift', () => {
  it.each(golden.distributions)('$name', ({ base, now, rule, ...right }) => {
    const size = rule ? rule.vocabulary : base![0]!.length;
    const from = rule ? byRule(rule.positions, size, rule.base) : numbers(base!);
    const to = rule ? byRule(rule.positions, size, rule.now) : numbers(now!);
    expectClose(klDivergence(from, to, size), right.kl, 'KL');
    expectClose(jsDivergence(from, to, size), right.js, 'JS');
    expectClose(entropy(to, size), right.entropy, 'entropy');
    expectClose(topOneAgreement(from, to, size), right.top1Agreement, 'agreement');
  });
});

describe('number-token bias', () => {
  it.each(golden.numberBias)('$name', ({ items, rule, numberIds, givenTheAnswer, asWritten }) => {
    const size = rule ? rule[0]!.vocabulary : items![0]![0]!.length;
    const each = rule ? rule.map((draw) => [...byRule(draw.positions, size, draw)]) : items!.map(numbers);
    expectClose(tokenMass(each.flat(), size, numberIds), givenTheAnswer);
    const written = writtenNumberBias(each, size, numberIds);
    for (const key of ['mean', 'meanOfLargest', 'meanOfMost'] as const) expectClose(written[key], asWritten[key], key);
  });
});

describe('number tokens', () => {
  it.each(golden.numberTokens)('$vocabulary', ({ tokens, ours, paper }) => {
    expect(numberTokenIds(tokens)).toEqual(ours);
    expect(tokens.flatMap((token, id) => (isNumberTokenOfPaper(token) ? [id] : []))).toEqual(paper);
  });
});

describe('layer contribution', () => {
  beforeAll(() => selectBackend({ prefer: 'wasm' }));
  it.each(golden.contribution)('$name', async ({ epsilon, numberIds, base, now, ...right }) => {
    const effect = ({ residuals, norm, head }: Side): tf.Tensor3D =>
      contributions(
        residuals.map((rows) => tf.tensor2d(rows)),
        (x) => tf.matMul(rmsNorm(x, tf.tensor1d(norm), epsilon), tf.tensor2d(head), false, true),
      );
    const { change, numberPush } = await contributionShift(effect(base), effect(now), numberIds);
    change.forEach((value, block) => expectClose(value, right.change[block]!, `change ${block}`));
    numberPush.forEach((value, block) => expectClose(value, right.numberPush[block]!, `push ${block}`));
    expect([change.length, numberPush.length]).toEqual([right.change.length, right.change.length]);
    const width = base.norm.length;
    const added = ({ residuals, head }: Side, block: number) => ({
      update: residuals[block + 1]!.flatMap((row, at) => row.map((x, i) => x - residuals[block]![at]![i]!)),
      head: head.flat(),
    });
    right.paper.forEach((value, block) =>
      expectClose(paperContributionChange(added(base, block), added(now, block), width), value, `paper ${block}`),
    );
  });
});

describe('weight drift', () => {
  it.each(golden.weightDrift)('$name', ({ base, now, drift }) => {
    const parameters = base.map(({ length: size }) => ({ group: 'g', size }));
    expectClose(groupDrift(numbers(base), numbers(now), parameters).get('g')!, drift);
  });
});

describe('recovery', () => {
  it.each(golden.recovery)('$name', ({ values, base, worse, noiseFloor, recovery: right }) => {
    const found = recovery(values.map(fromWireNumber), base, worse, noiseFloor);
    expect(found === null).toBe(right === null);
    if (!found || !right) return;
    expect(found.worstIndex).toBe(right.worstIndex);
    for (const key of ['percent', 'worst', 'now'] as const) expectClose(found[key], right[key], key);
  });
});
