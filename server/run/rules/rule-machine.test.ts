import { describe, expect, it } from 'vitest';
import { GuardRule } from '@plumbline/shared/rule';
import { RuleMachine } from './rule-machine.js';

type Condition = Parameters<typeof GuardRule.parse>[0];
const rule = (condition: Condition, more: object = {}): GuardRule =>
  GuardRule.parse({ name: 'r', metric: 'train/loss', condition, actions: [{ kind: 'pause' }], ...more });

/** The indices, from 0, of the values at which the rule fires. Steps go up by `stepWidth`. */
function fires(of: GuardRule, values: number[], { base, stepWidth = 1 }: { base?: number; stepWidth?: number } = {}) {
  const machine = new RuleMachine([of]);
  if (base !== undefined) machine.baseline({ [of.metric]: base });
  return values.flatMap((value, i) =>
    machine.take(of.metric, { seq: i + 1, step: i * stepWidth, value }).length > 0 ? [i] : [],
  );
}

describe('threshold', () => {
  it('fires when the value is past it, not on it', () => {
    const above = rule({ kind: 'threshold', side: 'above', value: 1 });
    expect(fires(above, [0, 1, 1.5])).toEqual([2]);
    const below = rule({ kind: 'threshold', side: 'below', value: 1 });
    expect(fires(below, [2, 1, 0.5])).toEqual([2]);
  });

  it('fires at the k-th value in a row; another value or NaN restarts the row', () => {
    const three = rule({ kind: 'threshold', side: 'above', value: 1, consecutive: 3 });
    expect(fires(three, [2, 2, 2])).toEqual([2]);
    expect(fires(three, [2, 2, 0, 2, 2, 2])).toEqual([5]);
    expect(fires(three, [2, 2, NaN, 2, 2, 2])).toEqual([5]);
  });

  it('counts Infinity as above anything, and NaN as nothing', () => {
    const above = rule({ kind: 'threshold', side: 'above', value: 1 });
    expect(fires(above, [NaN, Infinity])).toEqual([1]);
    expect(fires(above, [-Infinity])).toEqual([]);
    expect(fires(rule({ kind: 'threshold', side: 'below', value: 1 }), [Infinity, NaN, -Infinity])).toEqual([2]);
  });
});

describe('hysteresis', () => {
  const above = (rearmMargin: number) => rule({ kind: 'threshold', side: 'above', value: 1 }, { rearmMargin });

  it('fires once for as long as the series stays past the limit', () => {
    expect(fires(above(0), [2, 3, 2, 5])).toEqual([0]);
  });
  it('fires again only after the series was back by the margin', () => {
    expect(fires(above(0), [2, 1, 2])).toEqual([0, 2]);
    expect(fires(above(0.5), [2, 1, 2, 0.6, 2, 0.5, 2])).toEqual([0, 6]);
    const below = rule({ kind: 'threshold', side: 'below', value: 1 }, { rearmMargin: 0.5 });
    expect(fires(below, [0, 1.4, 0, 1.5, 0])).toEqual([0, 4]);
  });
  it('is not armed by NaN', () => {
    expect(fires(above(0), [2, NaN, 2])).toEqual([0]);
  });
  it('needs the whole row again', () => {
    const two = rule({ kind: 'threshold', side: 'above', value: 1, consecutive: 2 });
    expect(fires(two, [2, 2, 2, 0, 2, 2])).toEqual([1, 5]);
  });
});

describe('slope', () => {
  // Steps 0, 10, 20, ...: the slope of (0, 1, 2) over (0, 10, 20) is 0.1 a step.
  const rising = rule({ kind: 'slope', side: 'above', perStep: 0.05, window: 3 });
  it('uses the last n values, in units per step, and needs n of them', () => {
    expect(fires(rising, [0, 1, 2], { stepWidth: 10 })).toEqual([2]);
    expect(fires(rising, [0, 1, 2], { stepWidth: 100 })).toEqual([]);
    // (5, 0, 1): -2 / 10; (0, 1, 2): 0.1.
    expect(fires(rising, [5, 0, 1, 2], { stepWidth: 10 })).toEqual([3]);
  });
  it('ignores values that are not finite', () => {
    expect(fires(rising, [0, NaN, 1, Infinity, 2], { stepWidth: 5 })).toEqual([4]);
  });
  it('arms again when the slope is back by the margin', () => {
    const margin = rule({ kind: 'slope', side: 'above', perStep: 0.5, window: 2 }, { rearmMargin: 0.5 });
    // Slopes 1, 0.25 (not back by 0.5), 1, 0, 1.
    expect(fires(margin, [0, 1, 1.25, 2.25, 2.25, 3.25])).toEqual([1, 5]);
  });
});

describe('change', () => {
  it('from the base model, in units of the metric', () => {
    const drop = rule({ kind: 'change_from_base', side: 'below', by: 5, consecutive: 2 });
    expect(fires(drop, [94, 92, 91.9, 91.9], { base: 97 })).toEqual([3]);
    const rise = rule({ kind: 'change_from_base', side: 'above', by: 0.05 });
    expect(fires(rise, [0.04, 0.06], { base: 0 })).toEqual([1]);
  });
  it('never fires if the base model has no such value', () => {
    expect(fires(rule({ kind: 'change_from_base', side: 'below', by: 5 }), [-100])).toEqual([]);
  });
  it('from the mean of the previous values, once there are enough', () => {
    const jump = rule({ kind: 'change_from_window', side: 'above', by: 2, window: 3 });
    expect(fires(jump, [1, 2, 3, 4])).toEqual([]); // 4 - 2 is not more than 2
    expect(fires(jump, [1, 2, 3, 4.1])).toEqual([3]);
    expect(fires(jump, [9, 1, 1, 1, 3.1])).toEqual([4]); // the first value is out of the window
    expect(fires(jump, [1, 9])).toEqual([]);
  });
  it('takes no infinity into the window, and sees one as a change', () => {
    const jump = rule({ kind: 'change_from_window', side: 'above', by: 2, window: 2 });
    expect(fires(jump, [1, 1, Infinity, 1, 9])).toEqual([2, 4]);
    expect(fires(jump, [1, 1, Number.MAX_VALUE, 1, 9])).toEqual([2, 4]);
  });
});

describe('not finite', () => {
  it('fires at NaN, at either infinity and at what stands for an overflow, once until a number comes', () => {
    const odd = rule({ kind: 'not_finite' });
    for (const value of [NaN, Infinity, -Infinity, Number.MAX_VALUE, -Number.MAX_VALUE])
      expect(fires(odd, [1, value, NaN, 1, NaN])).toEqual([1, 4]);
  });
});

describe('several rules', () => {
  it('watch their own metrics, in order', () => {
    const machine = new RuleMachine([
      rule({ kind: 'threshold', side: 'above', value: 1 }, { name: 'high' }),
      rule({ kind: 'threshold', side: 'above', value: 2 }, { name: 'higher' }),
      rule({ kind: 'not_finite' }, { name: 'other', metric: 'shift/kl' }),
    ]);
    const at = (seq: number, metric: string, value: number) =>
      machine.take(metric, { seq, step: seq, value }).map((firing) => firing.rule.name);
    expect(at(1, 'train/loss', 3)).toEqual(['high', 'higher']);
    // A series that begins late finds its rule armed.
    expect(at(500, 'shift/kl', NaN)).toEqual(['other']);
    expect(machine.states.map(({ rule: { name }, armed, firings }) => [name, armed, firings])).toEqual([
      ['high', false, 1],
      ['higher', false, 1],
      ['other', false, 1],
    ]);
    expect(at(501, 'train/loss', 1)).toEqual([]);
    expect(machine.states.map(({ armed }) => armed)).toEqual([true, true, false]);
  });
});

describe('rules that are set anew', () => {
  const high = rule({ kind: 'threshold', side: 'above', value: 1, consecutive: 2 }, { name: 'high' });
  const other = rule({ kind: 'threshold', side: 'above', value: 1 }, { name: 'other' });

  it('keep their state if unchanged, and restart otherwise', () => {
    const machine = new RuleMachine([high, other]);
    const at = (seq: number, value: number) =>
      machine.take('train/loss', { seq, step: seq, value }).map((firing) => firing.rule.name);
    expect(at(1, 2)).toEqual(['other']);
    machine.set([{ ...other, rearmMargin: 0.5 }, structuredClone(high)]);
    // One value more makes two in a row; the other is another rule by the same name.
    expect(at(2, 2)).toEqual(['other', 'high']);
    machine.set([other]);
    expect(machine.states).toMatchObject([{ rule: other, armed: true, firings: 0, last: null }]);
  });
});

describe('a rule that goes on from a checkpoint', () => {
  const above = rule({ kind: 'threshold', side: 'above', value: 1 });
  it('is armed again if its command failed', () => {
    const machine = new RuleMachine([above]);
    const at = (seq: number, value: number) => machine.take('train/loss', { seq, step: seq, value });
    at(1, 2);
    at(2, 0);
    const [second] = at(3, 2);
    machine.undo(second!);
    expect(machine.states).toMatchObject([{ armed: true, firings: 1, last: { step: 1 } }]);
    expect(at(4, 2)).toHaveLength(1);
  });

  it('passes over what it has seen at the step of the checkpoint, and not what it has not', () => {
    const take = (steps: number[], from: number) => {
      const machine = new RuleMachine([rule({ kind: 'threshold', side: 'above', value: 1, consecutive: 2 })]);
      machine.take('train/loss', { seq: 1, step: 5, value: 2 });
      machine.goOn(from);
      return steps.filter((step) => machine.take('train/loss', { seq: 2, step, value: 2 }).length > 0);
    };
    expect(take([5, 5, 6], 5)).toEqual([6]);
    expect(take([7], 7)).toEqual([7]);
  });
});

describe('values that are missing', () => {
  it('count as a firing: the rule waits until the series is back', () => {
    const machine = new RuleMachine([rule({ kind: 'threshold', side: 'above', value: 1 })]);
    const at = (seq: number, value: number) => machine.take('train/loss', { seq, step: seq, value }).length;
    expect(at(1, 0)).toBe(0);
    machine.gap();
    expect([at(9, 2), at(10, 1), at(11, 2)]).toEqual([0, 0, 1]);
  });
});

describe('a cause', () => {
  it.each([
    [
      rule({ kind: 'threshold', side: 'above', value: 0.05, consecutive: 2 }),
      [0.055, 0.061],
      'train/loss was 0.061 nats at step 1: above 0.05 for 2 values in a row (the last values: 0.055, 0.061 nats)',
    ],
    [
      rule({ kind: 'change_from_base', side: 'below', by: 5 }),
      [91],
      'train/loss was 91 nats at step 0, base 97 nats: more than 5 below the base model (change −6 nats)',
    ],
    [
      rule({ kind: 'slope', side: 'below', perStep: -0.5, window: 2 }),
      [3, 1],
      'train/loss was 1 nats at step 1: slope below −0.5 a step over 2 values (slope −2 nats a step)',
    ],
    [rule({ kind: 'not_finite' }), [NaN], 'train/loss was NaN at step 0: not finite'],
  ])('names the values', (of, values, cause) => {
    const machine = new RuleMachine([of]);
    machine.baseline({ 'train/loss': 97 });
    const series = [{ number: 0, name: 'train/loss', unit: 'nats' }];
    machine.hear({ baseline: null, series });
    const firings = values.flatMap((value, i) => machine.take('train/loss', { seq: i + 1, step: i, value }));
    expect(firings.map((firing) => firing.cause)).toEqual([cause]);
    expect(machine.states[0]!.last).toEqual({
      step: values.length - 1,
      value: Number.isNaN(values.at(-1)) ? 'NaN' : values.at(-1),
      cause,
    });
  });
});
