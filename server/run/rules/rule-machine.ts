import { isDeepStrictEqual } from 'node:util';
import {
  fourDigits,
  fromWireNumber,
  isMeasured,
  measuredWords,
  toWireNumber,
  type WireMetrics,
  type WireNumber,
} from '@plumbline/shared/metric';
import type { SeriesDeclaration } from '@plumbline/shared/series';
import { describeCondition } from '@plumbline/shared/rule-words';
import type { GuardRule, RuleState } from '@plumbline/shared/rule';
import { slope } from '../../analysis/slope.js';
import type { RuleEvent } from './rule-backlog.js';

/** One value of a run's series. */
export interface Measured {
  seq: number;
  step: number;
  value: number;
}

/** A rule fired: its condition holds. */
export interface Firing extends Measured {
  rule: GuardRule;
  /** The measured values and the limit, for people. */
  cause: string;
}

/**
 * The rules of one run as state machines, each over its own series. It is pure: the same values in the same order give the
 * same firings, so that the state can be rebuilt from stored events. Give each value once, in order of event numbers.
 */
export class RuleMachine {
  #watches: Watch[];
  #baseline: ReadonlyMap<string, WireNumber> = new Map();
  /** Units of the series that have one. */
  #units = new Map<string, string | undefined>();

  constructor(rules: readonly GuardRule[]) {
    this.#watches = rules.map((rule) => new Watch(rule));
  }

  /** A copy in the same state. */
  copy(): RuleMachine {
    const copy = new RuleMachine([]);
    copy.#watches = this.#watches.map((watch) => watch.copy());
    copy.#baseline = this.#baseline;
    copy.#units = new Map(this.#units);
    return copy;
  }

  /** Whether there are no rules now. */
  get isIdle(): boolean {
    return this.#watches.length === 0;
  }

  get rules(): GuardRule[] {
    return this.#watches.map(({ rule }) => rule);
  }

  /** Whether it has exactly this rule. */
  has(rule: GuardRule): boolean {
    return this.#watches.some((watch) => isDeepStrictEqual(watch.rule, rule));
  }

  get states(): RuleState[] {
    return this.#watches.map(({ rule, armed, firings, last }) => ({
      rule,
      armed,
      firings,
      last: last && { step: last.step, value: toWireNumber(last.value), cause: last.cause },
    }));
  }

  /** The base model's own values, before the first value of the run. */
  baseline(values: Readonly<WireMetrics>): void {
    this.#baseline = new Map(Object.entries(values));
  }

  /** Takes the baseline and the declarations of the trainer. */
  hear({ baseline, series }: Pick<RuleEvent, 'baseline' | 'series'>): void {
    if (baseline) this.baseline(baseline);
    if (series) this.#declare(series);
  }

  #declare(series: readonly SeriesDeclaration[]): void {
    for (const { name, unit } of series) this.#units.set(name, unit);
  }

  /** @returns the firings of one value, in the order of the rules */
  take(metric: string, measured: Measured): Firing[] {
    const base = this.#baseline.get(metric);
    return this.#watches.flatMap((watch) => {
      if (watch.rule.metric !== metric) return [];
      return watch.take(measured, base === undefined ? NaN : fromWireNumber(base), this.#units.get(metric)) ?? [];
    });
  }

  /** Replaces the rules from the next value on. Unchanged rules keep their state; the others start armed. */
  set(rules: readonly GuardRule[]): void {
    this.#watches = rules.map(
      (rule) => this.#watches.find((watch) => isDeepStrictEqual(watch.rule, rule)) ?? new Watch(rule),
    );
  }

  /** The command of a rule's last firing failed: the rule may fire again at the next value. */
  undo(firing: Firing): void {
    for (const watch of this.#watches) if (watch.last === firing) watch.undo();
  }

  /** The next values are of a run that continues from a checkpoint and measures its step again. */
  goOn(step: number): void {
    for (const watch of this.#watches) watch.goOn(step);
  }

  /** A segment begins: rows and windows of values restart. Rules stay armed or fired. */
  newSegment(): void {
    for (const watch of this.#watches) watch.newSegment();
  }

  /**
   * Values are missing, with an unknown effect on the rules: each counts as fired, so that none can fire twice, and is armed
   * again as after any firing.
   */
  gap(): void {
    for (const watch of this.#watches) watch.gap();
  }
}

/** The most readings in a cause. */
const maxNamed = 5;

class Watch {
  armed = true;
  firings = 0;
  last: Firing | null = null;
  /** The value of `last` before the last firing. */
  #lastButOne: Firing | null = null;
  /** Step of the last value, and the one at which values repeat what has been taken. */
  #step = -1;
  #repeatedStep = -1;
  /** The current row of readings past the limit: its length and its latest readings. */
  #inARow = 0;
  #latest: number[] = [];
  /** The last measured values in the condition's window. */
  #steps: number[] = [];
  #values: number[] = [];

  constructor(readonly rule: GuardRule) {}

  copy(): Watch {
    const copy = new Watch(this.rule);
    copy.armed = this.armed;
    copy.firings = this.firings;
    copy.last = this.last;
    copy.#lastButOne = this.#lastButOne;
    copy.#step = this.#step;
    copy.#repeatedStep = this.#repeatedStep;
    copy.#inARow = this.#inARow;
    copy.#latest = [...this.#latest];
    copy.#steps = [...this.#steps];
    copy.#values = [...this.#values];
    return copy;
  }

  take(measured: Measured, base: number, unit: string | undefined): Firing | null {
    if (measured.step === this.#repeatedStep) return null;
    this.#step = measured.step;
    const { condition } = this.rule;
    const { isPast, isBack, reading } = this.#judge(measured, base);
    if (isBack) this.armed = true;
    this.#inARow = isPast ? this.#inARow + 1 : 0;
    this.#latest = isPast ? [...this.#latest, reading].slice(-maxNamed) : [];
    if (!this.armed || this.#inARow < condition.consecutive) return null;
    this.armed = false;
    this.firings++;
    this.#lastButOne = this.last;
    return (this.last = { ...measured, rule: this.rule, cause: this.#cause(measured, base, unit) });
  }

  undo(): void {
    this.armed = true;
    this.firings--;
    this.last = this.#lastButOne;
  }

  goOn(step: number): void {
    this.#repeatedStep = this.#step === step ? step : -1;
  }

  gap(): void {
    this.armed = false;
    this.newSegment();
  }

  newSegment(): void {
    this.#inARow = 0;
    this.#latest = [];
    this.#steps = [];
    this.#values = [];
  }

  /** Whether the reading is past the limit, and whether it is back by the margin that arms the rule. */
  #judge({ step, value }: Measured, base: number): { isPast: boolean; isBack: boolean; reading: number } {
    const { condition, rearmMargin } = this.rule;
    if (condition.kind === 'not_finite') {
      const isBack = isMeasured(value);
      return { isPast: !isBack, isBack, reading: value };
    }
    const reading = this.#read(step, value, base);
    const sign = condition.side === 'above' ? 1 : -1;
    // Of a limit below the reference, e.g. 5 below the base model: a change of -5.
    const limit =
      'by' in condition ? sign * condition.by : 'perStep' in condition ? condition.perStep : condition.value;
    // NaN means no reading: both comparisons are false.
    return {
      reading,
      isPast: sign * (reading - limit) > 0,
      isBack: sign * (reading - limit) <= -rearmMargin,
    };
  }

  /** The reading to compare with the limit; NaN if there is none. */
  #read(step: number, value: number, base: number): number {
    const { condition } = this.rule;
    switch (condition.kind) {
      case 'threshold':
        return value;
      case 'change_from_base':
        return value - base;
      case 'slope':
        if (!isMeasured(value)) return NaN;
        this.#keep(step, value, condition.window);
        if (this.#values.length < condition.window) return NaN;
        return slope({ steps: this.#steps, values: this.#values }, -Infinity, Infinity);
      case 'change_from_window': {
        const isFull = this.#values.length === condition.window;
        const mean = isFull ? this.#values.reduce((sum, x) => sum + x, 0) / condition.window : NaN;
        if (isMeasured(value)) this.#keep(step, value, condition.window);
        return value - mean;
      }
      case 'not_finite':
        return value;
    }
  }

  #keep(step: number, value: number, window: number): void {
    this.#steps.push(step);
    this.#values.push(value);
    if (this.#values.length <= window) return;
    this.#steps.shift();
    this.#values.shift();
  }

  #cause({ step, value }: Measured, base: number, unit: string | undefined): string {
    const { metric, condition } = this.rule;
    const what = condition.kind === 'slope' ? 'slopes' : condition.kind.startsWith('change') ? 'changes' : 'values';
    const latest = measuredWords(this.#latest.at(-1)!, unit, what !== 'values') + (what === 'slopes' ? ' a step' : '');
    const readings = [...this.#latest.slice(0, -1).map(fourDigits), latest].join(', ');
    const inARow = condition.consecutive > 1 ? ` (the last ${what}: ${readings})` : '';
    const isPlain = condition.kind === 'threshold' || condition.kind === 'not_finite' || condition.consecutive > 1;
    const reading = isPlain ? '' : ` (${what.slice(0, -1)} ${latest})`;
    const from = condition.kind === 'change_from_base' ? `, base ${measuredWords(base, unit)}` : '';
    return `${metric} was ${measuredWords(value, unit)} at step ${step}${from}: ${describeCondition(condition)}${inARow}${reading}`;
  }
}
