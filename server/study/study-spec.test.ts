import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { plan, readStudy, StudySpec } from './study-spec.js';

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
    ['a setting that is none', { variants: { full: { config: { learningrate: 1 } } } }, /learningrate/],
    ['a value that is wrong', { variants: { full: { config: { learningRate: -1 } } } }, /learning rate is above 0/],
    [
      'other tasks',
      { variants: { full: {}, x: { config: { tasks: ['clock'] } } } },
      /x.config.tasks: full has another/,
    ],
    ['other steps', { variants: { full: {}, x: { config: { steps: 50 } } } }, /x.config.steps: full has another/],
    [
      'other questions',
      { variants: { full: {}, x: { config: { evaluationQuestions: 50 } } } },
      /x.config.evaluationQuestions: full has another/,
    ],
    ['no questions', { variants: { full: { config: { evaluationQuestions: 0 } } } }, /rests on answers/],
  ])('refuses %s', (_what, changes, message) => {
    expect(() => plan(study(changes))).toThrow(message);
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
    expect(await readStudy(yaml)).toEqual(await readStudy(json));
  });
  it.each([
    ['broken.yaml', 'name: [', /neither YAML nor JSON/],
    ['no-seed.yaml', 'name: a\nseeds: []\nvariants: {full: {}}', /seeds: a study has at least one seed/],
    ['typo.yaml', 'name: a\nseeds: [1]\nvariant: {full: {}}', /variant/],
  ])('says what is wrong with %s, and where', async (name, content, message) => {
    const path = await write(name, content);
    await expect(readStudy(path)).rejects.toThrow(message);
    await expect(readStudy(path)).rejects.toThrow(name);
  });
  it('says that there is no such file', () => expect(readStudy(join(folder, 'none.yaml'))).rejects.toThrow(/no file/));
});
