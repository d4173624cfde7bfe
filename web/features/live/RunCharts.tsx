'use client';
import { useMemo, useRef } from 'react';
import { builtInConfig } from '@plumbline/shared/built-in/described-run';
import { metrics } from '@plumbline/shared/metric';
import type { RunSummary } from '@plumbline/shared/run';
import type { ChartView } from '../../charts/chart-view';
import { LineChart, type LineChartProps } from '../../charts/LineChart';
import { ContributionStrip } from '../drift/ContributionStrip';
import { WeightDriftChart } from '../drift/WeightDriftChart';
import { heldOutTasks, recoverySubject, sampleWords, type RecoverySeries } from '../drift/recovery-view';
import { expectedSeries } from '../../lib/expected-series';
import { awaitedWords } from '../../lib/words';
import { chartMarks, lineageMarks, stageMarks } from '../history/timeline';
import { AllSeries } from './AllSeries';
import { runSeries } from './metric-series';
import { isTelling, ownSeries, withoutLargeGroups } from './own-series';
import { PanelBoundary } from './PanelBoundary';
import { chartOf } from './series-chart';
import { useRun, useSeriesList } from './use-run';

const zero = [0];
const percent = [0, 100];
const recoveredSeries = [metrics.heldOutMean, metrics.numberTokensHeldOut, metrics.kl];
/** Series of maps and key figures, and remarks on charts. */
const withoutChart = /^(drift|contribution|energy)\/|^probe\//;

/** Charts at the top of the page, and charts of a run's own series further down; the rest is under All series. */
const storyCharts = 4;
const mostOwnBelow = 6;

/** A chart that the page can explain. It is drawn where the run has one of its series. */
type FixedChart = Omit<LineChartProps, 'view' | 'source' | 'marks'> & { draws: readonly string[] };

const namesOf = (series: readonly { id: string }[]): string[] => series.map(({ id }) => id);

/** All charts of a run: first the shift and its cost, then the course of training. */
export function RunCharts({ view, branches }: { view: ChartView; branches: readonly RunSummary[] }): React.ReactNode {
  const { store } = useRun();
  const recoveries = useRef(new Map<string, RecoverySeries>());
  const names = expectedSeries(store);
  const series = runSeries(store, names, recoveries.current);
  const marks = useMemo(() => {
    const lineage = store.runSummary ? lineageMarks(store.runSummary, store.past, branches) : [];
    return [
      ...lineage,
      ...stageMarks(store.eventsInForce, store.runSummary?.description ?? { tasks: [] }),
      ...chartMarks(store.ownCommands, store.recipes),
    ];
  }, [store, store.version, branches]);
  const shared = { marks, view, source: store };
  const sample = sampleWords(store);
  const tasks = heldOutTasks(store).length;
  const description = store.runSummary?.description;
  const isBuiltIn = description !== undefined && builtInConfig(description) !== null;
  // A trainer of an older protocol declares nothing. The built-in trainer's series are known without the list.
  useSeriesList(!isBuiltIn && store.controlEvents.length > 0 && store.declared.size === 0);
  const awaited = awaitedWords(description);
  const story: FixedChart[] = [
    {
      title: 'Number-token bias',
      hint: 'Probability mass on number tokens at answer positions of a fixed probe set. Dashed: the base model. On target prompts it should rise; on held-out prompts a rise is drift.',
      unit: 'probability',
      logarithm: 'on',
      series: series.bias,
      draws: namesOf(series.bias),
      include: zero,
      emptyText: awaited,
      testId: 'chart-bias',
    },
    {
      title: 'Accuracy',
      hint: 'Share of correct answers. Dashed: the base model.',
      unit: 'percent',
      note: sample && `${sample}${tasks > 1 ? `; the held-out mean is of ${tasks} tasks` : ''}`,
      series: series.accuracy,
      draws: namesOf(series.accuracy),
      include: percent,
      emptyText: awaited,
      testId: 'chart-accuracy',
    },
    {
      title: 'Output shift',
      hint: "Divergence of the output token distribution from the base model's on the fixed probe set.",
      unit: 'nats',
      series: series.shift,
      draws: namesOf(series.shift),
      include: zero,
      emptyText: awaited,
      testId: 'chart-shift',
    },
    {
      title: 'Loss',
      unit: '',
      series: series.loss,
      draws: namesOf(series.loss),
      include: zero,
      logarithm: 'off',
      testId: 'chart-loss',
    },
  ];
  const more: FixedChart[] = [
    {
      title: 'Held-out tasks',
      hint: 'Accuracy of each task that is never trained on. Dashed: the base model.',
      unit: 'percent',
      note: sample,
      series: series.heldOut,
      draws: namesOf(series.heldOut),
      include: percent,
      emptyText: awaited,
      testId: 'chart-held-out',
    },
    {
      title: 'Recovery',
      hint: '(now − worst) / (base − worst): 0 at the worst value so far, 100 % back at the base model. Nothing is drawn within the noise floor.',
      unit: 'percent',
      series: series.recovery,
      // Recovery needs a base value, a direction and a noise floor.
      draws: recoveredSeries.filter((name) => isBuiltIn || recoverySubject(store, name)),
      include: percent,
      emptyText: recoverySubject(store, metrics.heldOutMean)
        ? 'Nothing has drifted past the noise floor: there is nothing to recover.'
        : awaited,
      testId: 'chart-recovery',
    },
    {
      title: 'Learning rate',
      unit: '',
      series: series.learningRate,
      draws: namesOf(series.learningRate),
      include: zero,
      testId: 'chart-learning-rate',
    },
    {
      title: 'Top-1 agreement',
      hint: "Share of probe positions whose most likely token is still the base model's.",
      unit: 'percent',
      series: series.agreement,
      draws: namesOf(series.agreement),
      include: percent,
      emptyText: awaited,
      testId: 'chart-agreement',
    },
    {
      title: 'Gradient norm',
      hint: 'Global L2 norm before clipping.',
      unit: '',
      series: series.gradientNorm,
      draws: namesOf(series.gradientNorm),
      include: zero,
      logarithm: 'off',
      testId: 'chart-gradient-norm',
    },
    {
      title: 'Speed',
      hint: 'Optimizer steps a second, without probes.',
      unit: 'rate',
      series: series.speed,
      draws: namesOf(series.speed),
      include: zero,
      testId: 'chart-speed',
    },
    {
      title: 'Cost of probes',
      hint: 'How long each probe paused training.',
      unit: 'milliseconds',
      series: series.probeCost,
      draws: namesOf(series.probeCost),
      include: zero,
      emptyText: awaited,
      testId: 'chart-probe-cost',
    },
  ];
  const isShown = ({ draws }: FixedChart): boolean => draws.some((name) => names.has(name));
  const [shownStory, shownMore] = [story.filter(isShown), more.filter(isShown)];
  const hasGroup = (group: string): boolean => [...names].some((name) => name.startsWith(group));
  const charted = new Set([...story, ...more].flatMap(({ draws }) => draws));
  const hasChart = (name: string): boolean => charted.has(name) || withoutChart.test(name);
  const own = isBuiltIn
    ? []
    : withoutLargeGroups(ownSeries(store.declared.values(), hasChart), (name) => isTelling(store.declared.get(name)!));
  const ownInStory = Math.max(0, storyCharts - shownStory.length);
  const below = own.slice(ownInStory, ownInStory + mostOwnBelow);
  const telling = below.filter((name) => isTelling(store.declared.get(name)!));
  const rest = below.filter((name) => !telling.includes(name));
  // Layer contribution is as wide as two charts.
  const isOdd = (telling.length + shownMore.length + rest.length + (hasGroup('drift/') ? 1 : 0)) % 2 === 1;
  const last = shownMore.length - 1;
  const ownChart = (name: string, isWide = false): React.ReactNode => (
    <Chart key={name} {...shared} {...chartOf(store, name)} testId={`chart-${name}`} isWide={isWide} />
  );
  return (
    <>
      <div className="live-charts story">
        {shownStory.map((chart) => (
          <Chart key={chart.testId} {...shared} {...chart} />
        ))}
        {own.slice(0, ownInStory).map((name) => ownChart(name))}
        {names.size === 0 && store.feedPhase !== 'loading' && (
          <p className="dim" data-testid="no-series">
            No series from the trainer so far.
          </p>
        )}
      </div>
      <div className="live-charts more">
        {hasGroup('contribution/') && (
          <PanelBoundary what="Layer contribution">
            <ContributionStrip />
          </PanelBoundary>
        )}
        {hasGroup('drift/') && (
          <div className="panel chart-panel">
            <PanelBoundary what="Weight drift">
              <WeightDriftChart view={view} marks={marks} />
            </PanelBoundary>
          </div>
        )}
        {telling.map((name) => ownChart(name))}
        {shownMore.map((chart, index) => (
          <Chart key={chart.testId} {...shared} {...chart} isWide={isOdd && rest.length === 0 && index === last} />
        ))}
        {rest.map((name, index) => ownChart(name, isOdd && index === rest.length - 1))}
        <PanelBoundary what="All series">
          <AllSeries view={view} marks={marks} />
        </PanelBoundary>
      </div>
    </>
  );
}

/** A chart in a panel of its own. */
function Chart({ isWide = false, ...props }: LineChartProps & { isWide?: boolean }): React.ReactNode {
  return (
    <div className="panel chart-panel" data-wide={isWide}>
      <PanelBoundary what={props.title}>
        <LineChart {...props} />
      </PanelBoundary>
    </div>
  );
}
