import { heldOutTaskOf, isMeasured, metrics } from '@plumbline/shared/metric';
import { recovery } from '@plumbline/shared/recovery';
import type { Columns } from '../../charts/columns';
import type { RunStore } from '../../lib/run-store';

export interface RecoverySubject {
  metric: string;
  worse: 'lower' | 'higher';
  base: number;
  noiseFloor: number;
}

/**
 * What the recovery of a series is measured against: the base model's value, with the declared direction and noise floor.
 * Null if the trainer has not sent all of them.
 */
export function recoverySubject(store: RunStore, metric: string): RecoverySubject | null {
  const base = store.baseline(metric);
  const { better, noiseFloor } = store.declared.get(metric) ?? {};
  if (base === undefined || !Number.isFinite(base) || better === undefined || noiseFloor === undefined) return null;
  return { metric, worse: better === 'higher' ? 'lower' : 'higher', base, noiseFloor };
}

/** The sample size of an accuracy, e.g. `24 questions a task: a step is 4.2 points`; empty if the trainer did not send it. */
export function sampleWords(store: RunStore): string {
  const questions = store.baseline(metrics.questionsPerTask);
  if (questions === undefined || !(questions > 0)) return '';
  return `${questions} questions a task: a step is ${(100 / questions).toFixed(1)} points`;
}

/** Names of the held-out tasks that the run measures, without the mean. */
export function heldOutTasks(store: RunStore): string[] {
  const names = [...store.seriesNames, ...Object.keys(store.latest('run_started')?.baseline ?? {})];
  return [...new Set(names.flatMap((name) => heldOutTaskOf(name) ?? []))].sort();
}

/**
 * Recovery in percent after each probe. It has no point while the drift is within the noise floor. The worst value of a
 * branch may be one of its ancestors'.
 */
export class RecoverySeries implements Columns {
  length = 0;
  steps = new Float64Array(0);
  values = new Float64Array(0);
  reach = new Float64Array(0);
  #read = 0;

  constructor(
    private readonly measured: Columns,
    private readonly subject: RecoverySubject,
    private readonly before?: Columns,
  ) {}

  /** Follows the measured series; cheap when nothing is new. */
  update(): this {
    const { measured, subject, before } = this;
    if (measured.length === this.#read) return this;
    this.steps = new Float64Array(measured.length);
    this.values = new Float64Array(measured.length);
    this.reach = new Float64Array(measured.length).fill(Infinity);
    this.length = 0;
    const earlier = before && recovery(before.values.subarray(0, before.length), subject.base, subject.worse, 0);
    const worstAndNow = new Float64Array([earlier?.worst ?? NaN, NaN]);
    for (let index = 0; index < measured.length; index++) {
      const value = measured.values[index]!;
      if (!isMeasured(value)) continue;
      // Only the worst earlier value matters, so each point costs the same, however long the run.
      worstAndNow[1] = value;
      const found = recovery(worstAndNow, subject.base, subject.worse, subject.noiseFloor);
      const isWorse = subject.worse === 'lower' ? value < worstAndNow[0]! : value > worstAndNow[0]!;
      if (Number.isNaN(worstAndNow[0]!) || isWorse) worstAndNow[0] = value;
      if (!found) continue;
      this.steps[this.length] = measured.steps[index]!;
      this.values[this.length] = found.percent;
      this.length++;
    }
    this.#read = measured.length;
    return this;
  }
}
