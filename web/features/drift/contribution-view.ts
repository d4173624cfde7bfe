import { scaleLinear } from 'd3';
import { blocks, contributionChange, numberTokenPush, isMeasured } from '@plumbline/shared/metric';
import type { RunStore } from '../../lib/run-store';

export interface ContributionCell {
  layer: number;
  /** Root mean square change of the block's part in the logits, and its push of number tokens; both in logits. */
  change: number;
  push: number;
  /** Whether one of them cannot be drawn: it must not look like no change. */
  isBad: boolean;
  /** Both as shares of the largest on the strip: 0..1, and -1..1. */
  changeShare: number;
  pushShare: number;
}
export interface ContributionView {
  /** The step of the latest probe, which is shown. */
  step: number;
  layers: readonly number[];
  rows: readonly { block: string; cells: readonly ContributionCell[] }[];
  mostChange: number;
  mostPush: number;
}

/** Changes below this many logits have no colour, so that the strip of a base model shows none. */
const leastChange = 0.001;

/** Layer contribution change at the latest probe, by layers and blocks; null if it is not measured. */
export function contributionView(store: RunStore): ContributionView | null {
  const named = [...store.series].flatMap(([name, series]) => {
    const found = /^contribution\/(\d+)\/([^/]+)$/.exec(name);
    return found && series.length > 0 ? [{ layer: Number(found[1]), block: found[2]!, series }] : [];
  });
  if (named.length === 0) return null;
  const layers = [...new Set(named.map(({ layer }) => layer))].sort((a, b) => a - b);
  const found = new Set(named.map(({ block }) => block));
  const shown = [...blocks.filter((block) => found.delete(block)), ...found];
  const step = Math.max(...named.map(({ series }) => series.lastStep!));
  const last = (metric: string): number => store.series.get(metric)?.lastValue ?? NaN;
  const measured = shown.map((block) => ({
    block,
    cells: layers.map((layer) => ({
      layer,
      change: last(contributionChange(layer, block)),
      push: last(numberTokenPush(layer, block)),
      isBad: [contributionChange, numberTokenPush].some((of) => {
        const value = store.series.get(of(layer, block))?.lastValue;
        return value !== undefined && !isMeasured(value);
      }),
    })),
  }));
  const most = (values: number[]): number => Math.max(leastChange, ...values.filter(isMeasured));
  const all = measured.flatMap(({ cells }) => cells);
  const mostChange = most(all.map(({ change }) => change));
  const mostPush = most(all.map(({ push }) => Math.abs(push)));
  const changeShare = scaleLinear([0, mostChange], [0, 1]).clamp(true).unknown(0);
  const pushShare = scaleLinear([-mostPush, mostPush], [-1, 1]).clamp(true).unknown(0);
  return {
    ...{ step, layers, mostChange, mostPush },
    rows: measured.map(({ block, cells }) => ({
      block,
      cells: cells.map((cell) => ({
        ...cell,
        changeShare: changeShare(cell.change),
        pushShare: pushShare(cell.push),
      })),
    })),
  };
}
