import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plan, plainVariant, readStudy, StudySpec } from './study-spec.js';

const study = (changes: object = {}): StudySpec =>
  StudySpec.parse({
    name: 'trial',
    seeds: [1, 2],
    config: { tasks: ['counting', 'clock'], steps: 100 },
    variants: {
      frozen: { from: { variant: 'full', step: 120 }, config: { recipe: 'sa_proj' } },
      full: { config: { recipe: 'full' } },
    },
    ...changes,
  });

describe('plan', () => {
  it('is every variant with every seed, branches after what they branch from', () => {
    const runs = plan(study());
    expect(runs.map(({ variant, seed }) => `${variant} ${seed}`)).toEqual(['full 1', 'frozen 1', 'full 2', 'frozen 2']);
    expect(runs[0]!.config).toMatchObject({
      ...{ name: 'trial/full/s1', seed: 1, recipe: 'full', steps: 100, tasks: ['counting', 'clock'] },
      // What the branch starts from is kept.
      ...{ keepCheckpointsAt: [120], evaluationQuestions: 200 },
    });
    expect(runs[1]).toMatchObject({ from: { variant: 'full', step: 120 }, config: { recipe: 'sa_proj' } });
  });

  it.each([
    ['a reference that is none', { reference: 'nobody' }, /there is no variant "nobody"/],
    [
      'a branch of nothing',
      { variants: { full: {}, x: { from: { variant: 'y', step: 1 } } } },
      /variants.x.from: there is no variant "y"/,
    ],
    [
      'a branch of a branch',
      { variants: { full: {}, x: { from: { variant: 'full', step: 1 } }, y: { from: { variant: 'x', step: 1 } } } },
      /itself a branch/,
    ],
    [
      'a branch past the end',
      { variants: { full: {}, x: { from: { variant: 'full', step: 200 } } } },
      /leaves nothing of 200 steps/,
    ],
    [
      'a setting that is none',
      { variants: { full: { config: { learningrate: 1 } } } },
      /^variants\.full\.config: .*learningrate/,
    ],
    [
      'a value that is wrong',
      { variants: { full: {}, x: { config: { learningRate: -1 } } } },
      /^variants\.x\.config\.learningRate: a learning rate is above 0/,
    ],
    [
      'a common value that is wrong, which is no variant’s fault',
      { config: { learningRate: -1 } },
      /^config\.learningRate: a learning rate is above 0/,
    ],
    [
      'a common setting that is none, with the one that was meant',
      { config: { learningrate: 1 } },
      /^config: there is no "learningrate" here; did you mean "learningRate"\?$/,
    ],
    [
      'a setting of a method that is none',
      { variants: { full: {}, x: { config: { method: { kind: 'lora', rnk: 2 } } } } },
      /^variants\.x\.config\.method: there is no "rnk" here; did you mean "rank"\?$/,
    ],
    [
      'other tasks',
      { variants: { full: {}, x: { config: { tasks: ['clock'] } } } },
      /x.config.tasks: full has another/,
    ],
    [
      'a branch with other stages than what it goes on from',
      { variants: { full: {}, x: { from: { variant: 'full', step: 10 }, config: { steps: 50 } } } },
      /x.config.steps: a branch has the steps of full/,
    ],
    [
      'other questions of as many',
      { variants: { full: {}, x: { config: { evaluationSeed: 2 } } } },
      /x.config.evaluationSeed: full has another/,
    ],
    [
      'other questions',
      { variants: { full: {}, x: { config: { evaluationQuestions: 50 } } } },
      /x.config.evaluationQuestions: full has another/,
    ],
    [
      'no questions',
      { variants: { full: { config: { evaluationQuestions: 0 } } } },
      /^variants\.full\.config\.evaluationQuestions: .*rests on answers/,
    ],
    [
      'all at one time: what is common once, and what a variant adds to it',
      {
        config: { learningRate: -1, tasks: ['chess'] },
        variants: { sa_proj: { config: { recipe: 'all_of_it' } }, x: { from: { variant: 'y', step: 1 } } },
      },
      /^reference: there is no variant "full".*; variants\.x\.from: .*"y".*; config\.tasks\.0: [^;]*; config\.learningRate: [^;]*; variants\.sa_proj\.config\.recipe: [^;]*$/,
    ],
    ['no questions at all', { config: { evaluationQuestions: 0 } }, /^config\.evaluationQuestions: .*rests on answers/],
  ])('refuses %s', (_what, changes, message) => {
    expect(() => plan(study(changes))).toThrow(message);
  });
});

describe('plainVariant', () => {
  const rule = {
    ...{ name: 'r', metric: 'train/loss', rearmMargin: 1, actions: [{ kind: 'pause' }] },
    condition: { kind: 'not_finite' },
  };
  const runs = plan(
    study({
      variants: {
        full: { config: { recipe: 'full', method: { kind: 'wise_ft', weights: [0.5] } } },
        sa_proj: { config: { recipe: 'full' } },
        guarded: { config: { recipe: 'sa_proj', rules: [rule] } },
        lora: { config: { recipe: 'sa_proj', method: { kind: 'lora' } } },
        attention: { config: { recipe: 'sa_proj' } },
        attention_again: { config: { recipe: 'sa_proj', learningRate: 1e-4 } },
        branch: { from: { variant: 'full', step: 10 }, config: { recipe: 'mlp' } },
      },
    }),
  );
  it('goes by what a variant is, not by its name; of two, the first', () =>
    expect(plainVariant(runs, 'sa_proj')).toBe('attention'));
  it('takes WiSE-FT, which trains plainly', () => expect(plainVariant(runs, 'full')).toBe('full'));
  it('takes no branch', () => expect(plainVariant(runs, 'mlp')).toBeNull());
});

describe('the studies in docs/study', async () => {
  const files = (await readdir('docs/study')).filter((name) => name.endsWith('.yaml'));
  it.each(files)('%s can be run as it is', (file) => {
    const { runs } = readStudy(join('docs/study', file));
    expect(plainVariant(runs, 'full')).not.toBeNull();
  });
  it('keep the questions and seeds that rates were tuned on apart from those that are reported', () => {
    const tuning = readStudy('docs/study/tuning.yaml');
    const study = readStudy('docs/study/paper-in-small.yaml');
    expect(tuning.spec.seeds.filter((seed) => study.spec.seeds.includes(seed))).toEqual([]);
    expect(tuning.runs[0]!.config.evaluationSeed).not.toBe(study.runs[0]!.config.evaluationSeed);
  });
});

describe('readStudy', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'plumbline-study-'));
  });
  afterAll(() => rm(folder, { recursive: true }));
  const write = async (name: string, content: string): Promise<string> => {
    await writeFile(join(folder, name), content);
    return join(folder, name);
  };

  it('reads YAML and JSON alike', async () => {
    const yaml = await write('a.yaml', 'name: a\nseeds: [3]\nvariants:\n  full: {}\n');
    const json = await write('a.json', '{"name": "a", "seeds": [3], "variants": {"full": {}}}');
    expect(readStudy(yaml)).toEqual(readStudy(json));
  });
  it.each([
    ['broken.yaml', 'name: [', /neither YAML nor JSON/],
    ['no-seed.yaml', 'name: a\nseeds: []\nvariants: {full: {}}', /seeds: a study has at least one seed/],
    ['typo.yaml', 'name: a\nseeds: [1]\nvariant: {full: {}}', /there is no "variant" here; did you mean "variants"\?/],
    [
      'deep.yaml',
      'name: a\nseeds: [1]\nvariants: {full: {}, x: {form: {variant: full, step: 2}}}',
      /variants\.x: there is no "form" here; did you mean "from"\?/,
    ],
  ])('says what is wrong with %s, and where', async (name, content, message) => {
    const path = await write(name, content);
    expect(() => readStudy(path)).toThrow(message);
    expect(() => readStudy(path)).toThrow(name);
  });
  it('says that there is no such file, and where there are some', () =>
    expect(() => readStudy(join(folder, 'none.yaml'))).toThrow(/none\.yaml is not there\. docs\/study has some\./));
});
