'use client';
import { useState } from 'react';
import { wallTimeSeries } from '@plumbline/shared/metric';
import type { ChartMark } from '../../charts/chart-types';
import type { ChartView } from '../../charts/chart-view';
import type { Unit } from '../../charts/format';
import { LineChart } from '../../charts/LineChart';
import type { RunStore } from '../../lib/run-store';
import { PanelBoundary } from './PanelBoundary';
import { groupsOf } from './series-groups';
import { useRun } from './use-run';

/** So many charts of a group are drawn at first. */
const shownAtFirst = 12;

/** Every series of the run, whatever its trainer calls it: a group for each beginning of names, drawn when it is opened. */
export function AllSeries({ view, marks }: { view: ChartView; marks: readonly ChartMark[] }): React.ReactNode {
  const { store } = useRun();
  const names = new Set([...store.declared.keys(), ...store.series.keys()]);
  names.delete(wallTimeSeries);
  const known = [...names].filter((name) => store.declared.has(name) || (store.series.get(name)?.length ?? 0) > 0);
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
                <LineChart {...chartOf(store, name)} marks={marks} view={view} source={store} />
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

/** How units are drawn that the charts know; all others stand as they are. */
const unitsByWord = new Map<string, Unit>([
  ['%', 'percent'],
  ['nats', 'nats'],
  ['probability', 'probability'],
  ['ms', 'milliseconds'],
]);

function chartOf(store: RunStore, name: string) {
  const { label = name, unit: word = '', better, noiseFloor } = store.declared.get(name) ?? {};
  const unit = unitsByWord.get(word) ?? '';
  const says = [
    label === name ? '' : name,
    better ? `${better === 'lower' ? 'Lower' : 'Higher'} is better.` : '',
    noiseFloor === undefined ? '' : `Differences up to ${noiseFloor} are noise.`,
  ];
  return {
    title: label,
    hint: says.filter(Boolean).join(' '),
    unit,
    ...(unit === '' && word !== '' && { unitText: word }),
    series: [
      {
        id: name,
        label,
        color: 'ink' as const,
        columns: store.buffer(name),
        past: store.courseBefore(name),
        base: store.baseline(name),
      },
    ],
    legend: 'short' as const,
    emptyText: 'No value so far.',
    testId: `series-${name}`,
  };
}
