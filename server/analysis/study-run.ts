import { isMeasured } from '@plumbline/shared/metric';
import type { Evaluation } from './sequence-measures.js';
import type { MetricSeries } from './finding.js';

/** One run of a study as stored, including its parents' steps before it. */
export interface StudyRun {
  variant: string;
  seed: number;
  /** Id of the run that finished it. */
  runId: string;
  /** Target skills in the order in which they were taught, `stepsPerStage` optimizer steps each. */
  tasks: readonly string[];
  stepsPerStage: number;
  /** Tasks that no stage trains. */
  heldOut: readonly string[];
  evaluations: readonly Evaluation[];
  /** By metric name. */
  series: Readonly<Record<string, MetricSeries>>;
  /** The base model's own values. */
  baseline: Readonly<Record<string, number>>;
  /** Changes in mid-run: by a person, by a rule, or by branching from another run. */
  interventions: readonly { step: number; author: string; what: string }[];
}

/** Arithmetic mean; NaN of none. */
export const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

/** A series' last measured value; NaN when it has none. */
export function lastOf(run: StudyRun, metric: string): number {
  const values = Array.from(run.series[metric]?.values ?? []);
  return values.findLast(isMeasured) ?? NaN;
}

/** A series' largest measured value; NaN when it has none. */
export function largestOf(run: StudyRun, metric: string): number {
  const finite = Array.from(run.series[metric]?.values ?? []).filter(isMeasured);
  return finite.length === 0 ? NaN : Math.max(...finite);
}

/** A series' value at a step, that of the last point not after it; NaN before the first. */
export function valueAt({ steps, values }: MetricSeries, step: number): number {
  let found = NaN;
  for (let i = 0; i < steps.length && steps[i]! <= step; i++) found = values[i]!;
  return found;
}
