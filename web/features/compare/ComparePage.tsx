'use client';
import Link from 'next/link';
import { useSearchParams } from 'next/navigation';
import { useEffect, useMemo } from 'react';
import { metrics, targetAccuracy } from '@plumbline/shared/metric';
import { targetNames, taskLabel } from '@plumbline/shared/run-tasks';
import type { ChartMark, ChartSeries } from '../../charts/chart-types';
import { ChartView } from '../../charts/chart-view';
import type { Columns } from '../../charts/columns';
import { formatValue, withoutRounding, type Unit } from '../../charts/format';
import { LineChart } from '../../charts/LineChart';
import { ZoomBadge } from '../../charts/ZoomBadge';
import { categoricalColor } from '../../charts/palette';
import { compareAddress, maxCompared, runIdFrom } from '../../lib/addresses';
import { changesOf, shortChangeWords } from '../../lib/changes';
import { useSession } from '../../lib/use-hub';
import { useTitle } from '../../lib/use-title';
import { expectedSeries } from '../../lib/expected-series';
import { stateWords } from '../../lib/words';
import { sampleWords } from '../drift/recovery-view';
import { Loading } from '../live/Loading';
import { chartOf } from '../live/series-chart';
import { usePast } from '../live/use-family';
import { useFamilies } from '../runs/use-runs';
import { CompareTable, type ComparedRun } from './CompareTable';
import { namesApart, ownCompared } from './comparison';
import { SettingsTable } from './SettingsTable';
import { comparedMetrics, useCompared } from './use-compared';
import '../live/live.css';
import './compare.css';

/** The most runs that are looked up from an address. */
const maxAsked = 20;
const zero = [0];
const percent = [0, 100];
const nothing: Columns = {
  length: 0,
  steps: new Float64Array(0),
  values: new Float64Array(0),
  reach: new Float64Array(0),
};

interface ComparedChart {
  title: string;
  hint: string;
  unit: Unit;
  unitText?: string;
  include?: readonly number[];
  metric: string;
  /** Whether the questions of the probes are its sample. */
  isAccuracy?: boolean;
  /** The chart is drawn only for runs that teach this task. */
  task?: string;
  logarithm?: 'off' | 'on';
  testId: string;
}
const heldOutChart: ComparedChart = {
  title: 'Held-out accuracy',
  hint: 'Mean over the tasks that are never trained on. Dashed: the base model.',
  unit: 'percent',
  include: percent,
  metric: metrics.heldOutMean,
  isAccuracy: true,
  testId: 'compare-held-out',
};
const targetChart = ([task, label]: readonly [string, string]): ComparedChart => ({
  title: `${label} accuracy`,
  hint: 'A target task, for the runs that teach it. Dashed: the base model.',
  unit: 'percent',
  include: percent,
  metric: targetAccuracy(task),
  isAccuracy: true,
  task,
  testId: `compare-target-${task}`,
});
const otherCharts: readonly ComparedChart[] = [
  {
    title: 'Number-token bias',
    hint: 'Probability mass on number tokens at answer positions of held-out prompts. Dashed: the base model.',
    unit: 'probability',
    include: zero,
    metric: metrics.numberTokensHeldOut,
    logarithm: 'on',
    testId: 'compare-bias',
  },
  {
    title: 'KL(base ‖ now)',
    hint: 'Divergence of the output token distribution from the base model’s.',
    unit: 'nats',
    include: zero,
    metric: metrics.kl,
    testId: 'compare-kl',
  },
  {
    title: 'Loss',
    hint: '',
    unit: '',
    include: zero,
    metric: metrics.loss,
    logarithm: 'off',
    testId: 'compare-loss',
  },
];

/** The chart of another trainer's series, as declared by the first run that has it. */
function ownChart(runs: readonly ComparedRun[], name: string): ComparedChart {
  const { store } = runs.find(({ store: { declared } }) => declared.has(name)) ?? runs[0]!;
  const { title, hint = '', unit, unitText } = chartOf(store, name);
  return { title, hint, unit, metric: name, testId: `compare-${name}`, ...(unitText && { unitText }) };
}

/** Compares runs live. The address names them: `/compare/?run=<id>&run=<id>`. */
export function ComparePage(): React.ReactNode {
  const asked = [...new Set(useSearchParams().getAll('run'))].filter((id) => id !== '');
  const session = useSession();
  const named = asked.flatMap((id) => runIdFrom(id) ?? []).slice(0, maxAsked);
  const { runs, error } = useFamilies(named);
  const existing = (runs ?? []).flatMap(({ runId }) => (asked.includes(runId) ? runId : []));
  const runIds = existing.sort((a, b) => asked.indexOf(a) - asked.indexOf(b)).slice(0, maxCompared);
  const asKnown = (runs ?? []).filter(({ runId }) => runIds.includes(runId));
  const compares = comparedMetrics(asKnown.flatMap(({ description }) => targetNames(description, [])));
  useTitle([...asKnown.map(({ description }) => description.name), 'Compare'].join(' · '));
  const compared = useCompared(runIds, compares, session.state === 'open');
  const { problem } = usePast(compared.stores, runs ?? []);
  const view = useMemo(() => new ChartView(), []);
  const own = ownCompared(compared.stores);
  useEffect(() => {
    const stops = compared.stores.map(({ demand }) => demand.showLast(own));
    return () => stops.forEach((stop) => stop());
  }, [compared, own.join('\n')]);

  useEffect(() => {
    const follow = (): void => {
      const known = compared.stores.filter((store) => store.runSummary);
      if (known.length === 0) return;
      const from = Math.min(...known.map((store) => store.firstStep));
      view.setExtent(from, Math.max(from + 10, ...known.map((store) => store.runSummary!.lastStep)));
    };
    follow();
    const stops = [compared.onData(follow), compared.onChange(follow)];
    return () => stops.forEach((stop) => stop());
  }, [compared, view]);

  if (asked.length === 0) {
    return (
      <Blank title="Which runs?">
        This address names no run. Tick two to {maxCompared} runs in the list, then choose Compare.
      </Blank>
    );
  }
  if (!runs) return error ? <Blank title="The runs could not be loaded">{error}</Blank> : <Loading what="the runs" />;
  const missing = asked.filter((id) => !runs.some(({ runId }) => runId === id));
  if (existing.length === 0) {
    return (
      <Blank title={missing.length === 1 ? `No run ${missing[0]}` : 'None of these runs exists'}>
        The hub has no run {missing.join(' or ')}. It was deleted or has not started. A run that starts will appear
        here.
      </Blank>
    );
  }
  const loaded = compared.stores.flatMap((store, index) =>
    store.runSummary ? [{ run: store.runSummary, store, color: categoricalColor(index) }] : [],
  );
  const names = namesApart(loaded.map(({ run }) => run));
  const shown: ComparedRun[] = loaded.map((each, index) => ({ ...each, name: names[index]! }));
  if (shown.length === 0) {
    const failed = compared.stores.find(({ feedPhase }) => feedPhase === 'failed')?.feedError;
    if (failed === undefined) return <Loading what="the runs" />;
    return (
      <Blank title="The runs could not be loaded">
        {failed instanceof Error ? failed.message : String(failed)} Trying again …
      </Blank>
    );
  }
  // Runs may label one task differently: the first label counts.
  const tasks = new Map(
    shown
      .flatMap(({ run: { description } }) =>
        targetNames(description, []).map((task) => [task, taskLabel(description, task)] as const),
      )
      .reverse(),
  );
  const namesOf = new Map(shown.map(({ run, store }) => [run.runId, expectedSeries(store)]));
  const known = [heldOutChart, ...[...tasks].reverse().map(targetChart), ...otherCharts];
  const isOfAny = ({ metric }: ComparedChart): boolean => [...namesOf.values()].some((names) => names.has(metric));
  const charts = [...known.filter(isOfAny), ...own.map((name) => ownChart(shown, name))];
  const seriesOf = ({ metric, task, unit }: ComparedChart): ChartSeries[] => {
    const drawn = shown.filter(
      ({ run }) =>
        namesOf.get(run.runId)!.has(metric) && (task === undefined || targetNames(run.description, []).includes(task)),
    );
    // Two runs of one base model may have measured it on different backends. Values that read the same are one line.
    const bases = new Map(
      drawn.flatMap(({ store }) => {
        const base = store.baseline(metric);
        return base === undefined ? [] : [[formatValue(base, unit), base] as const];
      }),
    );
    return [
      ...drawn.map(({ run, store, color, name }) => ({
        id: run.runId,
        label: name,
        color,
        columns: store.buffer(metric),
        past: store.courseBefore(metric),
        ...(unit === 'nats' && { transform: withoutRounding }),
      })),
      ...[...bases.values()].map((base) => ({
        id: `base ${base}`,
        label: 'base model',
        color: 'slate' as const,
        columns: nothing,
        base,
      })),
    ];
  };
  const samples = new Set(shown.flatMap(({ store }) => sampleWords(store) || []));
  const sample = samples.size === 1 ? [...samples][0]! : '';
  const marks = shown.flatMap(({ store, name }) =>
    changesOf(store.ownCommands).map((change): ChartMark => ({
      id: change.commandId,
      step: change.step,
      kind: 'quiet',
      label: `${name}: ${shortChangeWords(change)}`,
    })),
  );
  return (
    <main className="compare-page" data-testid="compare-page" id="controls" tabIndex={-1}>
      <header className="compare-head">
        <h1>Compare runs</h1>
        <p className="dim">A branch’s course before its branch point is drawn muted. Drag in a chart to zoom all.</p>
      </header>
      {[
        error,
        problem && `The course before a branch could not be fetched: ${problem}`,
        existing.length > maxCompared && `Only the first ${maxCompared} runs are shown.`,
      ].map(
        (text) =>
          text && (
            <p key={text} className="notice" data-kind="warn" role="alert">
              {text}
            </p>
          ),
      )}
      {missing.length > 0 && (
        <p className="notice" data-kind="warn" role="alert" data-testid="compare-missing">
          <span>
            {missing.length === 1 ? 'There is no run' : 'These runs do not exist:'} {missing.join(', ')} (deleted, or
            not started). See <Link href="/">all runs</Link>, or{' '}
            <Link href={compareAddress(runIds)}>leave {missing.length === 1 ? 'it' : 'them'} out</Link>.
          </span>
        </p>
      )}
      <ul className="compare-legend" aria-label="Runs and their colours">
        {shown.map(({ run, color, name }) => (
          <li key={run.runId} title={run.runId}>
            <i className="swatch" data-color={color} />
            <Link href={`/runs/?run=${run.runId}`}>{name}</Link>
            <span className="state" data-state={run.state}>
              {stateWords[run.state]}
            </span>
            {shown.length > 1 && (
              <Link
                className="compare-remove"
                href={compareAddress(runIds.filter((runId) => runId !== run.runId))}
                aria-label={`Leave ${name} out`}
                title="Leave out"
              >
                ×
              </Link>
            )}
          </li>
        ))}
        <li>
          <i className="swatch dashed" />
          base model
        </li>
      </ul>
      <div className="compare-charts">
        {charts.map((chart) => (
          <div className="panel chart-panel" key={chart.metric}>
            <LineChart
              title={chart.title}
              {...(chart.hint && { hint: chart.hint })}
              {...(chart.logarithm && { logarithm: chart.logarithm })}
              {...(chart.isAccuracy && { note: sample })}
              unit={chart.unit}
              {...(chart.unitText && { unitText: chart.unitText })}
              {...(chart.include && { include: chart.include })}
              testId={chart.testId}
              series={seriesOf(chart)}
              draws={[chart.metric]}
              marks={marks}
              view={view}
              source={compared}
              legend="short"
            />
          </div>
        ))}
      </div>
      <CompareTable runs={shown} own={own} />
      <SettingsTable runs={shown} />
      <ZoomBadge view={view} />
    </main>
  );
}

/** The page without runs to compare, and the reason. */
function Blank({ title, children }: { title: string; children: React.ReactNode }): React.ReactNode {
  return (
    <main className="blank" id="controls" tabIndex={-1}>
      <h2>{title}</h2>
      <p>{children}</p>
      <Link href="/" className="button">
        All runs
      </Link>
    </main>
  );
}
