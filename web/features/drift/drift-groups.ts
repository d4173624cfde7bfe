import { weightDrift } from '@plumbline/shared/metric';
import { layerProjections, type ParameterInfo } from '@plumbline/shared/parameter';
import type { ChartSeries } from '../../charts/chart-types';
import { categorical } from '../../charts/palette';
import type { RunStore } from '../../lib/run-store';

/**
 * Weight drift of every group as lines: each decoder projection in one colour over all layers, so that a chart of a
 * deep model still says which kind of weight moves; what is outside the layers in grey.
 */
export function driftSeries(store: RunStore, parameters: readonly ParameterInfo[]): ChartSeries[] {
  const groups = [...new Set(parameters.map((parameter) => parameter.group))];
  return groups.flatMap((group): ChartSeries[] => {
    const past = store.courseBefore(weightDrift(group));
    const columns = store.buffer(weightDrift(group));
    if (columns.length === 0 && !past) return [];
    const projection = layerProjections.findIndex((name) => group.endsWith(name));
    return [
      {
        id: group,
        label: group,
        columns,
        past,
        color: projection < 0 ? 'slate' : categorical[projection]!,
        quiet: projection < 0,
      },
    ];
  });
}
