import type { Columns } from './columns';
import type { ChartColor } from './palette';

/** A line of a chart. */
export interface ChartSeries {
  id: string;
  label: string;
  color: ChartColor;
  columns: Columns;
  /** What a branch had behind it when it began, drawn muted: its ancestors' course up to the branch point. */
  past?: Columns | undefined;
  /** Thinner and paler, for context. */
  quiet?: boolean;
  transform?: (value: number) => number;
  /** The base model's value, drawn dashed in the same colour. */
  base?: number | undefined;
}

/** A moment in the run that something was changed; drawn on every chart. */
export interface ChartMark {
  id: string;
  step: number;
  label: string;
  /**
   * `change` alters what the optimizer does; `quiet` does not (pause, evaluate); at a `branch` one run left another;
   * a `stage` teaches the next skill.
   */
  kind: 'change' | 'quiet' | 'branch' | 'stage';
}

/** Where charts have their columns from; tells them when to look at these again. */
export interface ChartSource {
  /** A chart in sight draws these series from now on, until it calls what is returned. */
  draw(names: readonly string[]): () => void;
  /** Whether the course of some of these series is on its way. */
  isLoading(names: readonly string[]): boolean;
  /** At each change of data. */
  onData(listener: () => void): () => void;
  /** Seldom enough to rewrite text. */
  onChange(listener: () => void): () => void;
  readonly version: number;
}
