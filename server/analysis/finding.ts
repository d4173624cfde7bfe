/** One metric over a run; `steps` ascend. */
export interface MetricSeries {
  steps: ArrayLike<number>;
  values: ArrayLike<number>;
}

/** One sentence about what happened, with the numbers it rests on. */
export interface Finding {
  kind:
    | 'diverged'
    | 'target_task'
    | 'held_out_drop'
    | 'bias_drift'
    | 'drop_follows_bias'
    | 'output_shift'
    | 'weight_drift'
    | 'intervention'
    | 'energy';
  step: number;
  text: string;
  values: Record<string, number>;
}

/** A difference of accuracies in percent, as sentences have it. */
export const points = (value: number): string => `${value > 0 ? '+' : ''}${value.toFixed(1)} points`;
