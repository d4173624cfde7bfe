import { describe, expect, it } from 'vitest';
import { builtInConfig, describeRun } from './built-in/described-run.js';
import { RunConfig } from './built-in/run-config.js';
import { RunDescription } from './run-description.js';
import { taskLabel } from './run-tasks.js';

const refusal = (description: object): unknown =>
  RunDescription.safeParse({ name: 'x', ...description }).error?.issues.map(({ path, message }) => [
    path.join('.'),
    message,
  ]);

describe('what a trainer says of its run', () => {
  it('needs no more than a name, and has no default that looks like a fact', () => {
    expect(RunDescription.parse({ name: 'bare' })).toEqual({
      ...{ name: 'bare', settings: {}, tags: [], notes: '', tasks: [], stages: [] },
      ...{ totalSteps: null, probeEverySteps: null, rules: [] },
    });
  });

  it('takes any JSON object as settings, and gives it back as it was', () => {
    const settings = JSON.parse(
      '{"lr":1e-5,"betas":[0.9,0.999],"lora":{"r":8,"target":["q","v"],"bias":null},"constructor":true,"":"ü"}',
    ) as object;
    expect(RunDescription.parse({ name: 'x', settings }).settings).toEqual(settings);
  });

  it.each([
    ['a list', [], 'settings'],
    ['text', 'lr 1', 'settings'],
    ['a number that is none', { a: { lr: Infinity } }, 'settings.a.lr'],
    ['bytes', { a: new Uint8Array(2) }, 'settings.a'],
    ['a date', { a: new Date(0) }, 'settings.a'],
    ['a name that JavaScript keeps for itself', JSON.parse('{"a":{"__proto__":1}}'), 'settings.a.__proto__'],
    ['too much', { a: 'x'.repeat(64_000) }, 'settings'],
    ['too many levels', JSON.parse('{"a":'.repeat(50_000) + '1' + '}'.repeat(50_000)), /^settings(\.a){12}$/],
  ])('refuses %s as settings, and says where', (_, settings, path) => {
    const [[where]] = refusal({ settings }) as [[string, string]];
    if (typeof path === 'string') expect(where).toBe(path);
    else expect(where).toMatch(path);
  });

  it('refuses a tag or a task that is there twice', () => {
    expect(refusal({ tags: ['a', ' a'] })).toEqual([['tags', 'a tag is given once']]);
    const task = { name: 'ocr', kind: 'target' };
    expect(refusal({ tasks: [task, { ...task, kind: 'held_out' }] })).toBeUndefined();
    expect(refusal({ tasks: [task, { ...task, label: 'OCR' }] })).toEqual([
      ['tasks', 'a task is given once for each kind'],
    ]);
  });

  it('labels its tasks, or they go by their names', () => {
    const { tasks } = RunDescription.parse({
      name: 'x',
      tasks: [
        { name: 'ocr', kind: 'target', label: 'Reading' },
        { name: 'ocr', kind: 'held_out', label: 'Old reading' },
        { name: 'constructor', kind: 'held_out' },
      ],
    });
    expect(taskLabel({ tasks }, 'ocr')).toBe('Reading');
    expect(taskLabel({ tasks }, 'ocr', 'held_out')).toBe('Old reading');
    expect(taskLabel({ tasks }, 'constructor', 'held_out')).toBe('constructor');
    expect(taskLabel({ tasks }, 'toString')).toBe('toString');
  });
});

describe('the built-in trainer', () => {
  const config = RunConfig.parse({ name: 'Two', tasks: ['counting', 'clock', 'counting'], steps: 50, seed: 7 });

  it('describes its run with its configuration as settings, its tasks by their labels and its stages', () => {
    const description = describeRun(config);
    expect(RunDescription.parse(JSON.parse(JSON.stringify(description)))).toEqual(description);
    expect(description).toMatchObject({ name: 'Two', totalSteps: 150, probeEverySteps: 40, settings: { seed: 7 } });
    expect(description.stages.map(({ task, steps }) => `${task} ${steps}`)).toEqual([
      ...['counting 50', 'clock 50', 'counting 50'],
    ]);
    expect(description.tasks.slice(0, 3)).toEqual([
      { name: 'counting', label: 'Counting', kind: 'target' },
      { name: 'clock', label: 'Clock reading', kind: 'target' },
      { name: 'colour', label: 'Colour', kind: 'held_out' },
    ]);
  });

  it('has its configuration read from that; of another trainer’s run there is none', () => {
    expect(builtInConfig(describeRun(config))).toEqual(config);
    expect(builtInConfig(RunDescription.parse({ name: 'x' }))).toBeNull();
    expect(builtInConfig(RunDescription.parse({ name: 'x', settings: { learningRate: 1e-3, seed: 3 } }))).toBeNull();
    const { settings, ...described } = describeRun(config);
    for (const other of [{ seed: '3' }, { schedule: 'linear' }, { tasks: ['x'] }, { method: { kind: 'lora' } }])
      expect(builtInConfig({ ...described, settings: { ...settings, ...other } })).toBeNull();
  });

  it('is no built-in run with more experts than that can have: pages list the series of each', () => {
    const { settings, ...described } = describeRun(config);
    const experts = (count: number) => ({ ...settings, method: { kind: 'mixture_of_experts', experts: count } });
    expect(builtInConfig({ ...described, settings: experts(8) })).toMatchObject({ method: { experts: 8 } });
    expect(builtInConfig({ ...described, settings: experts(1e9) })).toBeNull();
  });
});
