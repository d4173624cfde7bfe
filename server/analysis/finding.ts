/** One metric over a run; `steps` ascend. */
export interface MetricSeries {
  steps: ArrayLike<number>;
  values: ArrayLike<number>;
  /** Whether values are missing. The first that is not finite, the first and the last are always there. */
  isThinned?: boolean;
}

/** One sentence about an event in a run, with the numbers behind it. */
export interface Finding {
  kind:
    | 'diverged'
    | 'target_task'
    | 'held_out_drop'
    | 'bias_drift'
    | 'drop_follows_bias'
    | 'output_shift'
    | 'series_drift'
    | 'no_harm'
    | 'weight_drift'
    | 'intervention'
    | 'not_judged'
    | 'energy';
  step: number;
  text: string;
  values: Record<string, number>;
}

/** Formats a difference of accuracies in percentage points for sentences. */
export const points = (value: number): string => `${value > 0 ? '+' : ''}${value.toFixed(1)} points`;
