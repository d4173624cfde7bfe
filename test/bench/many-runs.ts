import { RunId } from '@plumbline/shared/run';

/* The constants that bench:many and its trainers share. */

export interface ManyOptions {
  url: string;
  token: string;
  /** Runs `many-0`, `many-1`, … */
  trainers: number;
  /** Series per run: the values of each step. */
  series: number;
  steps: number;
}
export interface ManyResult {
  seconds: number;
  /** The last acknowledged event of each run. */
  acknowledged: Record<string, number>;
  ackP50Ms: number;
  ackP99Ms: number;
}

export const manyRun = (trainer: number): RunId => RunId.parse(`many-${trainer}`);
export const manyMetric = (index: number): string => `drift/language_model.layers.${index}.mlp.up_proj`;
