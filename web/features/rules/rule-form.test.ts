import { describe, expect, it } from 'vitest';
import { GuardRule } from '@plumbline/shared/rule';
import {
  blankAction,
  limitUnit,
  named,
  presets,
  readRules,
  toRuleForm,
  unknownSeries,
  type RuleForm,
} from './rule-form';

const [drop, bias, empty] = presets.map(({ rule }) => rule) as [RuleForm, RuleForm, RuleForm];
const any = { names: [], areAll: false };
const errorsOf = (...forms: RuleForm[]) => {
  const read = readRules(forms, any);
  return read.ok ? [] : read.errors;
};

describe('readRules', () => {
  it('reads the presets unchanged', () => {
    expect(readRules([drop, bias], any)).toEqual({
      ok: true,
      rules: [
        {
          ...{ name: 'Held-out drop', metric: 'held_out/mean/accuracy', rearmMargin: 1, actions: [{ kind: 'pause' }] },
          condition: { kind: 'change_from_base', side: 'below', by: 5, consecutive: 2 },
        },
        {
          ...{ name: 'Bias drift', metric: 'bias/number_tokens/held_out', rearmMargin: 0.01 },
          condition: { kind: 'threshold', side: 'above', value: 0.05, consecutive: 1 },
          actions: [{ kind: 'set_trainable', selection: { kind: 'recipe', recipe: 'sa_proj' } }],
        },
      ],
    });
  });

  it('reads back every kind of condition and action', () => {
    const rules = [
      { kind: 'threshold', side: 'below', value: -1 },
      { kind: 'slope', side: 'above', perStep: 0.01, window: 7, consecutive: 2 },
      { kind: 'slope', side: 'below', perStep: -0.01, window: 7 },
      { kind: 'change_from_base', side: 'above', by: 0.2 },
      { kind: 'change_from_window', side: 'above', by: 2, window: 30 },
      { kind: 'change_from_window', side: 'below', by: 2, window: 30 },
      { kind: 'not_finite', consecutive: 3 },
    ].map((condition, i) =>
      GuardRule.parse({
        ...{ name: `rule ${i}`, metric: 'train/loss', condition },
        actions: [
          { kind: 'set_trainable', selection: { kind: 'pattern', pattern: '*.norm*' } },
          { kind: 'lower_learning_rate', factor: 0.25 },
          { kind: 'save_checkpoint' },
          { kind: 'restore_best_checkpoint', metric: 'shift/kl', better: 'lower' },
          { kind: 'notify', url: 'https://hooks.example.org/x' },
        ],
      }),
    );
    expect(readRules(rules.map(toRuleForm), any)).toEqual({ ok: true, rules });
  });

  it('says what is wrong by rule and field', () => {
    expect(errorsOf(drop, { ...empty, name: '' })).toEqual([
      {},
      { name: 'A rule needs a name.', limit: 'Give a number.' },
    ]);
    expect(errorsOf({ ...drop, limit: 'five', consecutive: '1.5', rearmMargin: '' })).toEqual([
      { limit: '“five” is not a number.', consecutive: 'Give a whole number.', rearmMargin: 'Give a number.' },
    ]);
    const slower = { ...blankAction, kind: 'lower_learning_rate' as const, factor: 'half' };
    expect(errorsOf({ ...drop, actions: [slower] })).toEqual([{ 'actions.0': '“half” is not a number.' }]);
    const loud = { ...drop, actions: [blankAction, { ...blankAction, kind: 'notify' as const, url: 'example.org' }] };
    expect(errorsOf(loud)).toEqual([{ 'actions.1': 'Give an address that begins with https:// or http://.' }]);
    expect(errorsOf(drop, drop)).toEqual([
      {},
      { name: 'Two rules are called "Held-out drop"; give each its own name.' },
    ]);
    expect(errorsOf({ ...drop, comparison: 'below_window', window: '0' })).toEqual([
      { window: 'A window has at least 1 values.' },
    ]);
  });
});

describe('readRules, of a run whose series are known', () => {
  const back = { ...blankAction, kind: 'restore_best_checkpoint' as const, metric: 'mean' };
  const forms = [drop, { ...bias, metric: 'held_out/mean/acuracy', actions: [back] }];
  const names = ['train/loss', 'held_out/mean/accuracy'];

  it('refuses a series that the run will not have', () => {
    const read = readRules(forms, { names, areAll: true });
    expect(read.ok ? [] : read.errors).toEqual([
      {},
      {
        metric: 'No run of these tasks has the series “held_out/mean/acuracy”: did you mean held_out/mean/accuracy?',
        'actions.0': 'No run of these tasks has the series “mean”.',
      },
    ]);
  });

  it('accepts a series without values so far, with a warning', () => {
    const own = { ...drop, metric: 'my/own' };
    expect(readRules([own], { names, areAll: false }).ok).toBe(true);
    expect(unknownSeries(own, { names, areAll: false })).toEqual({
      metric: 'This run has had no value of “my/own” so far.',
    });
  });
});

describe('named', () => {
  it('finds a name that is free', () => {
    expect(named(drop, []).name).toBe('Held-out drop');
    expect(named(drop, [drop, { ...drop, name: 'Held-out drop 2 ' }]).name).toBe('Held-out drop 3');
    expect(named(empty, []).name).toBe('Rule');
  });
});

describe('limitUnit', () => {
  it.each([
    ['%', 'below', '%'],
    ['%', 'below_base', 'pp'],
    ['%', 'slope_below', 'pp/step'],
    ['nats', 'above', 'nats'],
    ['nats', 'slope_above', 'nats/step'],
    [undefined, 'above_window', ''],
    [undefined, 'slope_above', '1/step'],
  ] as const)('of a series in %s that %s is %s', (unit, comparison, words) => {
    expect(limitUnit({ comparison }, unit)).toBe(words);
  });
});
