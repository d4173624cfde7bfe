import { describe, expect, it } from 'vitest';
import { RunConfig } from './built-in/run-config.js';
import { describeAction } from './rule-words.js';
import { GuardRule, RuleAction } from './rule.js';

const rule = {
  name: 'Bias',
  metric: 'bias/number_tokens/held_out',
  condition: { kind: 'threshold', side: 'above', value: 0.05 },
  actions: [{ kind: 'pause' }],
};
const problems = (change: object): string[] =>
  GuardRule.safeParse({ ...rule, ...change }).error?.issues.map(({ message }) => message) ?? [];
const action = (given: object): string[] => problems({ actions: [given] });

describe('the rules of a run configuration', () => {
  it('train only recipes that the built-in trainer has', () => {
    const rules = (recipe: string) => [
      { ...rule, actions: [{ kind: 'set_trainable', selection: { kind: 'recipe', recipe } }] },
    ];
    expect(RunConfig.safeParse({ name: 'x', rules: rules('sa_qkv') }).success).toBe(true);
    expect(RunConfig.safeParse({ name: 'x', rules: rules('sa_prj') }).error?.issues).toMatchObject([
      {
        path: ['rules', 0, 'actions', 0, 'selection', 'recipe'],
        message: expect.stringMatching(
          /^there is no recipe "sa_prj": choose one of full, everything, sa_proj, /,
        ) as string,
      },
    ]);
  });
});

describe('a guard rule', () => {
  it('has defaults for the row and the margin', () => {
    expect(GuardRule.parse(rule)).toMatchObject({ rearmMargin: 0, condition: { consecutive: 1 } });
  });

  it('says in words what is wrong with it', () => {
    expect(problems({ name: '  ' })).toEqual(['a rule needs a name']);
    expect(problems({ metric: ' loss' })).toEqual([
      'a metric name is one line of printable text, with no space at its beginning or end',
    ]);
    expect(problems({ actions: [] })).toEqual(['a rule needs an action']);
    expect(problems({ rearmMargin: -1 })).toEqual(['a margin is 0 or more']);
    const condition = (change: object) => problems({ condition: { ...rule.condition, ...change } });
    expect(condition({ consecutive: 0 })).toEqual(['at least 1']);
    expect(condition({ consecutive: 1.5 })).toEqual(['give a whole number']);
    expect(condition({ side: 'over' })).toEqual(['a side is above or below']);
    expect(condition({ value: 'x' })).toEqual(['give a number']);
    expect(problems({ condition: { kind: 'slope', side: 'above', perStep: 0, window: 1 } })).toEqual([
      'a window has at least 2 values',
    ]);
    expect(problems({ condition: { kind: 'change_from_base', side: 'below', by: -5 } })).toEqual([
      'a change is 0 or more; its side says which way',
    ]);
  });

  it('lowers the learning rate and never raises it', () => {
    expect(action({ kind: 'lower_learning_rate', factor: 0.5 })).toEqual([]);
    expect(action({ kind: 'lower_learning_rate', factor: 1 })).toEqual([
      'a factor is below 1, so that the learning rate goes down',
    ]);
    expect(action({ kind: 'lower_learning_rate', factor: 0 })).toEqual(['a factor is above 0']);
  });

  it('notifies only over http and https, and keeps no password where all can read it', () => {
    expect(action({ kind: 'notify', url: 'https://hooks.example.org/a@b?c=d@e' })).toEqual([]);
    for (const url of [
      'ftp://example.org',
      'javascript:alert(1)',
      'file:///etc/passwd',
      'example.org',
      'http:me@example.org',
      '',
    ])
      expect(action({ kind: 'notify', url })).toEqual(['give an address that begins with https:// or http://']);
    for (const url of ['https://me:secret@example.org', 'http://me@example.org/x'])
      expect(action({ kind: 'notify', url })).toEqual([
        'an address names no user and no password: everybody who may watch the run can read it',
      ]);
  });

  it('does nothing that needs the run after going back', () => {
    const back = { kind: 'restore_best_checkpoint', metric: 'held_out/mean/accuracy', better: 'higher' };
    const notify = { kind: 'notify', url: 'https://example.org' };
    expect(problems({ actions: [{ kind: 'pause' }, back, notify] })).toEqual([]);
    expect(problems({ actions: [back, { kind: 'pause' }] })).toEqual([
      'restoring a checkpoint ends the run: only notify may follow it',
    ]);
  });
});

describe('the rules of a run', () => {
  const config = (rules: object[]) => RunConfig.safeParse({ name: 'x', rules });
  it('are none unless given', () => {
    expect(RunConfig.parse({ name: 'x' }).rules).toEqual([]);
  });
  it('have names of their own, and are at most 50', () => {
    expect(config([rule, { ...rule, name: 'Other' }]).success).toBe(true);
    expect(config([rule, { ...rule, name: ' Bias ' }]).error?.issues).toMatchObject([
      { path: ['rules', 1, 'name'], message: 'two rules are called "Bias"; give each its own name' },
    ]);
    const many = Array.from({ length: 51 }, (_, i) => ({ ...rule, name: `${i}` }));
    expect(config(many).error?.issues).toMatchObject([{ message: 'a run has at most 50 rules' }]);
  });
});

it('names the host of a webhook and not its path', () => {
  const url = 'https://hooks.example.org:8443/private/path';
  expect(describeAction(RuleAction.parse({ kind: 'notify', url }))).toBe('notify hooks.example.org:8443');
});
