import { heldOutAccuracy, metrics, targetAccuracy } from '@plumbline/shared/metric';
import { targetNames, taskLabel } from '@plumbline/shared/run-tasks';
import type { ChartSeries } from '../../charts/chart-types';
import type { Columns } from '../../charts/columns';
import { withoutRounding } from '../../charts/format';
import { categoricalColor } from '../../charts/palette';
import type { RunStore } from '../../lib/run-store';
import { isLearningRate } from './series-groups';
import { heldOutTasks, recoverySubject, RecoverySeries } from '../drift/recovery-view';

/** The lines of each chart of a run. On every chart, blue is what the run learns, orange what it should keep. */
export interface RunSeries {
  bias: ChartSeries[];
  shift: ChartSeries[];
  agreement: ChartSeries[];
  accuracy: ChartSeries[];
  heldOut: ChartSeries[];
  loss: ChartSeries[];
  gradientNorm: ChartSeries[];
  learningRate: ChartSeries[];
  speed: ChartSeries[];
  recovery: ChartSeries[];
  probeCost: ChartSeries[];
}

/** @param names the series that the run has; only these become lines */
export function runSeries(
  store: RunStore,
  names: ReadonlySet<string>,
  recoveries: Map<string, RecoverySeries>,
): RunSeries {
  const description = store.runSummary?.description ?? { tasks: [] };
  const tasks = targetNames(description, store.seriesNames);
  const line = (metric: string, label: string, color: ChartSeries['color']): ChartSeries => ({
    id: metric,
    label,
    color,
    columns: store.buffer(metric),
    past: store.courseBefore(metric),
    base: store.baseline(metric),
  });
  const plain = (metric: string, label: string, color: ChartSeries['color']): ChartSeries => ({
    id: metric,
    label,
    color,
    columns: store.buffer(metric),
    past: store.courseBefore(metric),
  });
  const recovered = (metric: string, label: string, color: ChartSeries['color']): ChartSeries[] => {
    const subject = recoverySubject(store, metric);
    if (!subject) return [];
    const before = store.courseBefore(metric);
    const of = (part: string, measured: Columns, earlier?: Columns): Columns => {
      const key = `${metric} ${part} ${earlier?.length ?? 0} ${subject.base} ${subject.noiseFloor}`;
      const columns = recoveries.get(key) ?? new RecoverySeries(measured, subject, earlier);
      recoveries.set(key, columns);
      return columns.update();
    };
    return [
      {
        id: `recovery ${metric}`,
        label,
        color,
        columns: of('own', store.buffer(metric), before),
        past: before && of('past', before),
      },
    ];
  };
  const present = (...lines: ChartSeries[]): ChartSeries[] => lines.filter(({ id }) => names.has(id));
  return {
    bias: present(
      line(metrics.numberTokensTarget, 'target', 'target'),
      line(metrics.numberTokensHeldOut, 'held-out', 'held-out'),
    ),
    shift: present(
      { ...plain(metrics.kl, 'KL', 'violet'), transform: withoutRounding },
      { ...plain(metrics.js, 'JS', 'green'), transform: withoutRounding },
    ),
    agreement: present(line(metrics.top1Agreement, 'agreement', 'violet')),
    accuracy: present(
      // A single skill has the target's colour; several have a colour each.
      ...tasks.map((task, index) =>
        line(
          targetAccuracy(task),
          taskLabel(description, task),
          tasks.length === 1 ? 'target' : categoricalColor(index),
        ),
      ),
      line(metrics.heldOutMean, 'held-out mean', 'held-out'),
    ),
    heldOut: present(
      ...heldOutTasks(store).map((name, index) =>
        line(heldOutAccuracy(name), taskLabel(description, name, 'held_out'), categoricalColor(index)),
      ),
    ),
    loss: present(plain(metrics.loss, 'loss', 'ink')),
    gradientNorm: present(plain(metrics.gradientNorm, 'norm', 'slate')),
    learningRate: present(
      ...learningRates(store).map((name, index, { length }) =>
        plain(name, length === 1 ? 'lr' : name, length === 1 ? 'ink' : categoricalColor(index)),
      ),
    ),
    speed: present({
      ...plain(metrics.stepDurationMs, 'steps/s', 'slate'),
      transform: (milliseconds) => 1000 / milliseconds,
    }),
    probeCost: present(plain(metrics.probeDurationMs, 'probe', 'slate')),
    recovery: [
      ...recovered(metrics.heldOutMean, 'held-out accuracy', 'held-out'),
      ...recovered(metrics.numberTokensHeldOut, 'number-token bias', 'violet'),
      ...recovered(metrics.kl, 'KL', 'green'),
    ],
  };
}

/** The series of learning rates, in the order in which they were declared: several if parameter groups have their own. */
export function learningRates(store: RunStore): string[] {
  const rates = [...store.seriesNames].filter(isLearningRate);
  return rates.length > 0 ? rates : [metrics.learningRate];
}
