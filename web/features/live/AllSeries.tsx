'use client';
import { useState } from 'react';
import type { ChartMark } from '../../charts/chart-types';
import type { ChartView } from '../../charts/chart-view';
import { LineChart } from '../../charts/LineChart';
import { PanelBoundary } from './PanelBoundary';
import { chartOf } from './series-chart';
import { groupsOf } from './series-groups';
import { useRun, useSeriesList } from './use-run';

/** The number of charts of a group that are drawn at first. */
const shownAtFirst = 12;

/** Every series of the run, in groups by name prefix. A group is drawn when it is opened. */
export function AllSeries({ view, marks }: { view: ChartView; marks: readonly ChartMark[] }): React.ReactNode {
  const { store } = useRun();
  const known = [...store.seriesNames];
  if (known.length === 0) return null;
  return (
    <section className="panel all-series" aria-labelledby="all-series-title" data-testid="all-series">
      <header className="panel-head">
        <h2 id="all-series-title">All series</h2>
      </header>
      {groupsOf(known).map((group) => (
        <PanelBoundary key={group.prefix} what={group.prefix || 'Series without a group'}>
          <SeriesGroup {...group} view={view} marks={marks} />
        </PanelBoundary>
      ))}
    </section>
  );
}

function SeriesGroup({
  prefix,
  names,
  view,
  marks,
}: {
  prefix: string;
  names: readonly string[];
  view: ChartView;
  marks: readonly ChartMark[];
}): React.ReactNode {
  const { store } = useRun();
  const [isOpen, setIsOpen] = useState(false);
  const [shown, setShown] = useState(shownAtFirst);
  // Undeclared series are in the list only.
  useSeriesList(isOpen);
  return (
    <details onToggle={(event) => setIsOpen(event.currentTarget.open)} data-testid={`series-group-${prefix}`}>
      <summary>
        {prefix || 'no group'} <span className="dim">{names.length}</span>
      </summary>
      {isOpen && (
        <div className="live-charts">
          {names.slice(0, shown).map((name) => (
            <div key={name} className="chart-panel">
              <PanelBoundary what={name}>
                <LineChart
                  {...chartOf(store, name)}
                  testId={`series-${name}`}
                  marks={marks}
                  view={view}
                  source={store}
                />
              </PanelBoundary>
            </div>
          ))}
        </div>
      )}
      {isOpen && names.length > shown && (
        <button type="button" className="button small" onClick={() => setShown(shown + 4 * shownAtFirst)}>
          Show more of {names.length}
        </button>
      )}
    </details>
  );
}
