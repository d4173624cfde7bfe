'use client';
import Link from 'next/link';
import { Fragment, useEffect, useMemo, useRef, useState } from 'react';
import { fromWireNumber, isMeasured, metrics, targetAccuracy } from '@plumbline/shared/metric';
import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import type { RunSummary } from '@plumbline/shared/run';
import { targetNames, taskLabel } from '@plumbline/shared/run-tasks';
import type { ListedRun, SeriesOverview } from '@plumbline/shared/run-list';
import type { Columns } from '../../charts/columns';
import { formatStep, formatValue, formatWhen, unitNamed, type Unit } from '../../charts/format';
import type { ChartColor } from '../../charts/palette';
import { Sparkline } from '../../charts/Sparkline';
import { chosenSettings, settingWords, trainingWords } from '../../lib/settings';
import { sequenceWords, stateWords } from '../../lib/words';
import { OfTotal } from './OfTotal';
import { Tags } from './Tags';
import type { RunRowModel } from './run-tree';
import { useTakenOver } from './use-runs';

/** A run in the list: its name, progress and headline series. */
export function RunRow({
  run,
  parent,
  depth,
  runs,
  reads,
}: RunRowModel<ListedRun> & {
  runs: readonly RunSummary[];
  reads: Parameters<typeof useTakenOver>[2];
}): React.ReactNode {
  const row = useRef<HTMLAnchorElement>(null);
  const isSeen = useSeen(row);
  const { description, overview } = run;
  const { totalSteps } = description;
  const config = builtInConfig(description);
  const training = trainingWords(config ?? {}, useTakenOver(run, runs, reads, !isSeen), overview?.changes ?? []);
  const facts = [
    sequenceWords(description),
    training.trains && settingWords(training.trains),
    training.rate && `lr ${settingWords(training.rate)}`,
    ...(config
      ? [`seed ${config.seed}`, ...chosenSettings(config, ['method', 'warmupSteps', 'weightDecay', 'batchSize'])]
      : []),
  ].filter((fact) => fact !== null && fact !== '');
  return (
    <Link href={`/runs/?run=${run.runId}`} className="run-row" data-testid={`run-${run.runId}`} ref={row}>
      <span className="run-name" style={{ paddingLeft: depth * 18 }}>
        <b>
          {depth > 0 && (
            <svg className="branch-sign" viewBox="0 0 12 12" aria-hidden>
              <path d="M2 0v6a3 3 0 0 0 3 3h6" fill="none" stroke="currentColor" />
            </svg>
          )}
          {description.name}
        </b>
        <span className="run-facts-line">
          {facts.map((fact, index) => (
            <Fragment key={fact}>
              {index > 0 && ' · '}
              <span>{fact}</span>
            </Fragment>
          ))}
        </span>
        {run.parent && (
          <span className="run-facts-line">
            branch of {parent?.description.name ?? run.parent.runId} at step {formatStep(run.parent.step)}
          </span>
        )}
        <Tags tags={description.tags} />
        <span className="run-id">
          {formatWhen(run.createdMs, Date.now())} · <code>{run.runId}</code>
        </span>
      </span>
      <span>
        <span className="state" data-state={run.state} title={run.reason}>
          {stateWords[run.state]}
        </span>
      </span>
      <span className="run-progress">
        <span>
          {formatStep(run.lastStep)} <OfTotal run={run} />
        </span>
        {totalSteps !== null && (
          <progress max={1} value={Math.min(1, run.lastStep / totalSteps)} aria-label="Progress" />
        )}
      </span>
      {cellsOf(run).map((cell) =>
        cell.kind === 'targets' ? <Targets key="targets" run={run} /> : <Numbers key={cell.label} {...cell} />,
      )}
    </Link>
  );
}

/** Whether an element has ever been in sight. */
function useSeen(element: React.RefObject<HTMLElement | null>): boolean {
  const [isSeen, setSeen] = useState(false);
  useEffect(() => {
    if (!element.current || isSeen) return;
    const observer = new IntersectionObserver((entries) => {
      if (entries.some(({ isIntersecting }) => isIntersecting)) setSeen(true);
    });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element, isSeen]);
  return isSeen;
}

interface NumbersCell {
  kind: 'numbers';
  label: string;
  /** Whether the label is shown, as it differs from the column's. */
  isNamed?: boolean;
  series: SeriesOverview | undefined;
  unit: Unit;
  color: ChartColor;
  low?: number;
  high?: number;
}
type Cell = NumbersCell | { kind: 'targets' };

/** The cells of a run. A column whose series the run lacks shows another headline series of the run. */
function cellsOf(run: ListedRun): Cell[] {
  const headlines = run.overview?.series ?? [];
  const find = (name: string): SeriesOverview | undefined => headlines.find((series) => series.name === name);
  const tasks = targetNames(run.description, []).map(targetAccuracy);
  const columns: readonly (Cell & { names: readonly string[] })[] = [
    {
      ...{ kind: 'numbers', label: 'Loss', unit: '', color: 'slate', low: 0 },
      ...{ series: find(metrics.loss), names: [metrics.loss] },
    },
    tasks.length <= 1
      ? {
          ...{ kind: 'numbers', label: 'Target', unit: 'percent', color: 'target', low: 0, high: 100 },
          ...{ series: tasks[0] === undefined ? undefined : find(tasks[0]), names: tasks },
        }
      : { kind: 'targets', names: tasks },
    {
      ...{ kind: 'numbers', label: 'Held-out', unit: 'percent', color: 'held-out', low: 0, high: 100 },
      ...{ series: find(metrics.heldOutMean), names: [metrics.heldOutMean] },
    },
    {
      ...{ kind: 'numbers', label: 'Number-token bias', unit: 'probability', color: 'violet', low: 0 },
      ...{ series: find(metrics.numberTokensHeldOut), names: [metrics.numberTokensHeldOut] },
    },
  ];
  const inColumns = columns.flatMap(({ names }) => names);
  // A run of the built-in trainer will have the columns' series.
  const hasColumns = headlines.some(({ name }) => inColumns.includes(name) && name !== metrics.loss);
  const others = hasColumns ? [] : headlines.filter(({ name }) => !inColumns.includes(name));
  return columns.map(({ names, ...cell }) => {
    if (names.some((name) => find(name)) || others.length === 0) return cell;
    const series = others.shift()!;
    return {
      kind: 'numbers',
      label: series.label ?? series.name,
      isNamed: true,
      series,
      unit: unitNamed(series.unit),
      color: 'slate',
    };
  });
}

/** The accuracy of each of several tasks. */
function Targets({ run }: { run: ListedRun }): React.ReactNode {
  return (
    <span className="run-targets" data-testid={`targets-${run.runId}`}>
      <span className="run-number-label">Target accuracy</span>
      {targetNames(run.description, []).map((task) => {
        const series = run.overview?.series.find(({ name }) => name === targetAccuracy(task));
        return (
          <span key={task} className="run-target">
            <span>{taskLabel(run.description, task)}</span>{' '}
            <b>{formatValue(series && fromWireNumber(series.value), 'percent')}</b>
          </span>
        );
      })}
    </span>
  );
}

function Numbers({ label, isNamed, series, unit, color, low, high }: NumbersCell): React.ReactNode {
  const columns = useMemo(() => columnsOf(series), [series]);
  const value = series && fromWireNumber(series.value);
  return (
    <span className="run-number">
      <span className="run-number-label" data-shown={isNamed} title={label}>
        {label}
      </span>
      <b data-bad={value !== undefined && !isMeasured(value)}>{formatValue(value, unit)}</b>
      {columns.length > 1 && (
        <Sparkline
          columns={columns}
          color={color}
          {...(low !== undefined && { low })}
          {...(high !== undefined && { high })}
        />
      )}
    </span>
  );
}

/** The points of an overview as one unbroken line. */
const columnsOf = (series: SeriesOverview | undefined): Columns => ({
  length: series?.steps.length ?? 0,
  steps: Float64Array.from(series?.steps ?? []),
  values: Float64Array.from(series?.values ?? [], fromWireNumber),
  reach: new Float64Array(series?.steps.length ?? 0).fill(Infinity),
});
