'use client';
import { useState } from 'react';
import { layerProjections } from '@plumbline/shared/parameter';
import type { ChartMark } from '../../charts/chart-types';
import type { ChartView } from '../../charts/chart-view';
import { LineChart } from '../../charts/LineChart';
import { categorical } from '../../charts/palette';
import { useRun } from '../live/use-run';
import { driftSeries } from './drift-groups';

const zero = [0];

/** How far each parameter group has moved from the base model, over the run. */
export function WeightDriftChart({ view, marks }: { view: ChartView; marks: readonly ChartMark[] }): React.ReactNode {
  const { store } = useRun();
  const [only, setOnly] = useState('');
  const parameters = store.latest('run_started')?.model.parameters ?? [];
  const all = driftSeries(store, parameters);
  const series = only === '' ? all : all.filter(({ id }) => id.endsWith(only));
  return (
    <>
      <LineChart
        title="Weight drift"
        hint="Relative distance of each parameter group from the base model: ‖w − w₀‖ / ‖w₀‖. A frozen group stays level."
        unit="ratio"
        series={series}
        marks={marks}
        view={view}
        source={store}
        include={zero}
        legend="none"
        emptyText="Measured with the next probe."
        testId="chart-weight-drift"
      />
      <div className="drift-keys" role="group" aria-label="Show one projection">
        {layerProjections.map((projection, index) => (
          <button
            key={projection}
            type="button"
            aria-pressed={only === projection}
            onClick={() => setOnly(only === projection ? '' : projection)}
          >
            <i className="swatch" data-color={categorical[index]} />
            {projection.replace('_proj', '')}
          </button>
        ))}
        <span className="drift-key">
          <i className="swatch" data-color="slate" />
          other groups
        </span>
      </div>
    </>
  );
}
