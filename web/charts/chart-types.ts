import type { Columns } from './columns';
import type { ChartColor } from './palette';

/** A line of a chart. */
export interface ChartSeries {
  id: string;
  label: string;
  color: ChartColor;
  columns: Columns;
  /** The ancestors' values of a branch up to the branch point, drawn muted. */
  past?: Columns | undefined;
  /** Thinner and paler, for context. */
  quiet?: boolean;
  transform?: (value: number) => number;
  /** The base model's value, drawn dashed in the same colour. */
  base?: number | undefined;
}

/** A change at a step of the run, drawn on every chart. */
export interface ChartMark {
  id: string;
  step: number;
  label: string;
  /**
   * `change` alters what the optimizer does; `quiet` does not (pause, evaluate); `branch` is a branch point;
   * `stage` is the start of the next skill.
   */
  kind: 'change' | 'quiet' | 'branch' | 'stage';
}

/** The source of the columns that charts draw. It notifies them of changes. */
export interface ChartSource {
  /** Registers a visible chart that draws these series. @returns ends the registration */
  draw(names: readonly string[]): () => void;
  /** Whether the values of one of these series are still being fetched. */
  isLoading(names: readonly string[]): boolean;
  /** Called at each change of data. */
  onData(listener: () => void): () => void;
  /** Called rarely enough to render text again. */
  onChange(listener: () => void): () => void;
  readonly version: number;
}
