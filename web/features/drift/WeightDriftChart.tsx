'use client';
import { useMemo, useState } from 'react';
import type { ChartMark } from '../../charts/chart-types';
import type { ChartView } from '../../charts/chart-view';
import { LineChart } from '../../charts/LineChart';
import { awaitedWords } from '../../lib/words';
import { useRun } from '../live/use-run';
import { drawnTogether, driftKinds, driftSeries } from './drift-groups';

const zero = [0];

/** How far each parameter group has moved from the base model, over the run. */
export function WeightDriftChart({ view, marks }: { view: ChartView; marks: readonly ChartMark[] }): React.ReactNode {
  const { store } = useRun();
  const [only, setOnly] = useState('');
  const model = store.latest('run_started')?.model;
  const kinds = useMemo(() => (model ? driftKinds(model) : { kinds: [], lines: [] }), [model]);
  const shown = useMemo(
    () => (only === '' ? kinds : { ...kinds, lines: kinds.lines.filter(({ kind }) => kind.key === only) }),
    [kinds, only],
  );
  const { lines, names } = useMemo(() => drawnTogether(shown.lines), [shown]);
  const series = driftSeries(store, { ...shown, lines });
  const left = shown.lines.length - lines.length;
  return (
    <>
      <LineChart
        title="Weight drift"
        hint="Relative distance of each parameter group from the base model: ‖w − w₀‖ / ‖w₀‖. A frozen group stays level. Of a layer’s experts, the one that moved most is drawn."
        unit="ratio"
        series={series}
        draws={names}
        {...(left > 0 && {
          note: `The first ${lines.length} of ${shown.lines.length} lines: choose a kind of weight below.`,
        })}
        marks={marks}
        view={view}
        source={store}
        include={zero}
        legend="none"
        emptyText={awaitedWords(store.runSummary?.description, 'next')}
        testId="chart-weight-drift"
      />
      <div className="drift-keys" role="group" aria-label="Show one kind of weight">
        {kinds.kinds.map(({ key, label, color }) => (
          <button key={key} type="button" aria-pressed={only === key} onClick={() => setOnly(only === key ? '' : key)}>
            <i className="swatch" data-color={color} />
            {label}
          </button>
        ))}
      </div>
    </>
  );
}
