'use client';
import { useMemo, useRef } from 'react';
import { metrics } from '@plumbline/shared/metric';
import type { RunSummary } from '@plumbline/shared/run';
import type { ChartView } from '../../charts/chart-view';
import { LineChart, type LineChartProps } from '../../charts/LineChart';
import { ContributionStrip } from '../drift/ContributionStrip';
import { WeightDriftChart } from '../drift/WeightDriftChart';
import { heldOutTasks, recoverySubject, sampleWords, type RecoverySeries } from '../drift/recovery-view';
import { awaitedWords } from '../../lib/words';
import { chartMarks, lineageMarks, stageMarks } from '../history/timeline';
import { AllSeries } from './AllSeries';
import { runSeries } from './metric-series';
import { PanelBoundary } from './PanelBoundary';
import { useRun } from './use-run';

const zero = [0];
const percent = [0, 100];

/** All charts of a run, the story first: what shifts, what it costs, then how training goes. */
export function RunCharts({ view, branches }: { view: ChartView; branches: readonly RunSummary[] }): React.ReactNode {
  const { store } = useRun();
  const recoveries = useRef(new Map<string, RecoverySeries>());
  const series = runSeries(store, recoveries.current);
  const marks = useMemo(() => {
    const lineage = store.runSummary ? lineageMarks(store.runSummary, store.past, branches) : [];
    return [
      ...lineage,
      ...stageMarks(store.controlEvents, store.runSummary?.description ?? { tasks: [] }),
      ...chartMarks(store.ownCommands, store.recipes),
    ];
  }, [store, store.version, branches]);
  const shared = { marks, view, source: store };
  const sample = sampleWords(store);
  const tasks = heldOutTasks(store).length;
  const awaited = awaitedWords(store.runSummary?.description);
  return (
    <>
      <div className="live-charts story">
        <Chart
          {...shared}
          title="Number-token bias"
          hint="Probability mass on number tokens at answer positions of a fixed probe set. Dashed: the base model. On prompts of the target it has to rise; on held-out prompts it is the drift."
          unit="probability"
          logarithm="on"
          series={series.bias}
          include={zero}
          emptyText={awaited}
          testId="chart-bias"
        />
        <Chart
          {...shared}
          title="Accuracy"
          hint="Share of questions answered right. Dashed: the base model."
          unit="percent"
          note={sample && `${sample}${tasks > 1 ? `; the held-out mean is of ${tasks} tasks` : ''}`}
          series={series.accuracy}
          include={percent}
          emptyText={awaited}
          testId="chart-accuracy"
        />
        <Chart
          {...shared}
          title="Output shift"
          hint="Divergence of the output token distribution from the base model's on the fixed probe set."
          unit="nats"
          series={series.shift}
          include={zero}
          emptyText={awaited}
          testId="chart-shift"
        />
        <Chart
          {...shared}
          title="Loss"
          unit=""
          series={series.loss}
          include={zero}
          logarithm="off"
          testId="chart-loss"
        />
      </div>
      <div className="live-charts more">
        <PanelBoundary what="Layer contribution">
          <ContributionStrip />
        </PanelBoundary>
        <div className="panel chart-panel">
          <PanelBoundary what="Weight drift">
            <WeightDriftChart view={view} marks={marks} />
          </PanelBoundary>
        </div>
        <Chart
          {...shared}
          title="Held-out tasks"
          hint="Accuracy of each task that is never trained on. Dashed: the base model."
          unit="percent"
          note={sample}
          series={series.heldOut}
          include={percent}
          emptyText={awaited}
          testId="chart-held-out"
        />
        <Chart
          {...shared}
          title="Recovery"
          hint="(now − worst) / (base − worst): 0 at the worst value so far, 100 % back at the base model. Nothing is drawn within the noise floor."
          unit="percent"
          series={series.recovery}
          include={percent}
          emptyText={
            recoverySubject(store, metrics.heldOutMean)
              ? 'Nothing has drifted past the noise floor, so there is nothing to recover.'
              : awaited
          }
          testId="chart-recovery"
        />
        <Chart
          {...shared}
          title="Learning rate"
          unit=""
          series={series.learningRate}
          include={zero}
          testId="chart-learning-rate"
        />
        <Chart
          {...shared}
          title="Top-1 agreement"
          hint="Share of probe positions whose most likely token is still the base model's."
          unit="percent"
          series={series.agreement}
          include={percent}
          emptyText={awaited}
          testId="chart-agreement"
        />
        <Chart
          {...shared}
          title="Gradient norm"
          hint="Global L2 norm before clipping."
          unit=""
          series={series.gradientNorm}
          include={zero}
          logarithm="off"
          testId="chart-gradient-norm"
        />
        <Chart
          {...shared}
          title="Speed"
          hint="Optimizer steps a second, probes apart."
          unit="rate"
          series={series.speed}
          include={zero}
          testId="chart-speed"
        />
        <Chart
          {...shared}
          title="Cost of probes"
          hint="How long each probe held training up."
          unit="milliseconds"
          series={series.probeCost}
          include={zero}
          emptyText={awaited}
          testId="chart-probe-cost"
        />
        <PanelBoundary what="All series">
          <AllSeries view={view} marks={marks} />
        </PanelBoundary>
      </div>
    </>
  );
}

/** A chart in a panel of its own. */
function Chart(props: LineChartProps): React.ReactNode {
  return (
    <div className="panel chart-panel">
      <PanelBoundary what={props.title}>
        <LineChart {...props} />
      </PanelBoundary>
    </div>
  );
}
